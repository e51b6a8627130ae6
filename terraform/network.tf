resource "google_compute_network" "network" {
  name                    = var.name
  auto_create_subnetworks = false # they would take a range in every region

  depends_on = [google_project_service.needed]
}

resource "google_compute_subnetwork" "nodes" {
  name                     = "${var.name}-nodes"
  network                  = google_compute_network.network.id
  ip_cidr_range            = "10.0.0.0/24" # far more than three nodes, and a surge of one
  private_ip_google_access = true          # nodes reach the registry and the logs without the NAT

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = "10.4.0.0/18" # a /24 for each of 64 nodes
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = "10.8.0.0/22" # Knative makes some Services per revision
  }

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1 # enough to see who talks to whom
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Private nodes have no address outside: they pull images from other registries through this.
resource "google_compute_router" "router" {
  name    = var.name
  network = google_compute_network.network.id
}

resource "google_compute_router_nat" "nat" {
  name                               = var.name
  router                             = google_compute_router.router.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.nodes.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# GKE opens 443 and 10250 to the control plane; Knative's webhook listens on another port.
resource "google_compute_firewall" "webhook" {
  name          = "${var.name}-webhook"
  network       = google_compute_network.network.id
  direction     = "INGRESS"
  source_ranges = [local.control_plane]
  target_tags   = [var.name] # of the nodes

  allow {
    protocol = "tcp"
    ports    = ["8443"]
  }
}
