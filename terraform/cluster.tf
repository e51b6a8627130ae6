locals {
  control_plane = "172.16.0.0/28" # GKE asks for exactly this size
}

# Standard, not Autopilot, which Google recommends by default: what is wanted is a node pool of a known type and size.
resource "google_container_cluster" "cluster" {
  name                = var.name
  location            = var.region # not a zone: three control planes
  network             = google_compute_network.network.id
  subnetwork          = google_compute_subnetwork.nodes.id
  deletion_protection = var.deletion_protection
  min_master_version  = "1.34"              # Knative 1.23 refuses older ones
  datapath_provider   = "ADVANCED_DATAPATH" # without it the network policies of knative/ have no effect

  # GKE cannot make a cluster without a first pool; it lives for minutes, and not with the project's default account.
  remove_default_node_pool = true
  initial_node_count       = 1
  node_config {
    service_account = google_service_account.nodes.email
  }

  networking_mode = "VPC_NATIVE"
  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes   = true
    master_ipv4_cidr_block = local.control_plane
  }

  # Who may call the API server is a matter of identity, not of addresses: no bastion, no list of networks.
  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = true
    }
    ip_endpoints_config {
      enabled = false
    }
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }

  release_channel {
    channel = "REGULAR"
  }

  maintenance_policy {
    daily_maintenance_window {
      start_time = "03:00" # UTC, for four hours
    }
  }

  logging_config {
    enable_components = ["SYSTEM_COMPONENTS", "WORKLOADS"]
  }

  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS"]
    managed_prometheus {
      enabled = true
    }
  }

  security_posture_config {
    mode               = "BASIC"
    vulnerability_mode = "VULNERABILITY_DISABLED" # it costs; the registry can scan
  }

  cost_management_config {
    enabled = true # the bill names namespaces
  }

  lifecycle {
    ignore_changes = [initial_node_count, node_config] # of the pool that is gone
  }
}
