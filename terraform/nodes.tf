# What nodes may do: write logs and metrics, and pull our images. The project's default account may do nearly all.
resource "google_service_account" "nodes" {
  account_id   = "${var.name}-nodes"
  display_name = "Nodes of the cluster ${var.name}"

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_member" "nodes" {
  project = var.project
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.nodes.member
}

resource "google_container_node_pool" "nodes" {
  name               = "nodes"
  cluster            = google_container_cluster.cluster.id
  initial_node_count = 1 # per zone: three nodes, one of which the autoscaler may end

  # In total. `node_count`, `min_node_count` and `max_node_count` are per zone: 2 to 3 would be 6 to 9 nodes.
  autoscaling {
    total_min_node_count = 2
    total_max_node_count = 3
    location_policy      = "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  upgrade_settings {
    max_surge       = 1 # a new node is ready ...
    max_unavailable = 0 # ... before an old one ends
  }

  node_config {
    machine_type    = "n2-standard-2"
    image_type      = "COS_CONTAINERD"
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"] # the account's roles limit it, not the scopes
    tags            = [var.name]                                         # of the firewall rule

    # Pods see their own identity and never the node's.
    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    gvnic {
      enabled = true
    }

    gcfs_config {
      enabled = true # a container starts before its image is whole: shorter cold starts
    }
  }

  lifecycle {
    ignore_changes = [initial_node_count] # the autoscaler changes it
  }
}
