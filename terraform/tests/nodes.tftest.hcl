mock_provider "google" {}

variables {
  project = "understudy-test"
}

run "nodes" {
  assert {
    condition     = google_container_cluster.cluster.remove_default_node_pool == true
    error_message = "Expected no pool but our own."
  }

  assert {
    condition     = google_container_node_pool.nodes.cluster == google_container_cluster.cluster.id
    error_message = "Expected the pool in the cluster."
  }

  assert {
    condition = (
      google_container_node_pool.nodes.autoscaling[0].total_min_node_count == 2 &&
      google_container_node_pool.nodes.autoscaling[0].total_max_node_count == 3
    )
    error_message = "Expected 2 to 3 nodes in total."
  }

  assert {
    condition = (
      google_container_node_pool.nodes.autoscaling[0].min_node_count == null &&
      google_container_node_pool.nodes.autoscaling[0].max_node_count == null &&
      google_container_node_pool.nodes.node_count == null &&
      google_container_node_pool.nodes.initial_node_count == 1
    )
    error_message = "Expected no number of nodes per zone, but one in each at the start."
  }

  assert {
    condition     = google_container_node_pool.nodes.node_config[0].machine_type == "n2-standard-2"
    error_message = "Expected nodes of the type n2-standard-2."
  }

  assert {
    condition = (
      google_container_node_pool.nodes.node_config[0].service_account == google_service_account.nodes.email &&
      google_container_cluster.cluster.node_config[0].service_account == google_service_account.nodes.email
    )
    error_message = "Expected an account of the nodes' own, not the project's default."
  }

  assert {
    condition = (
      google_project_iam_member.nodes.member == google_service_account.nodes.member &&
      google_project_iam_member.nodes.role == "roles/container.defaultNodeServiceAccount" &&
      google_artifact_registry_repository_iam_member.nodes.member == google_service_account.nodes.member &&
      google_artifact_registry_repository_iam_member.nodes.repository == google_artifact_registry_repository.images.name &&
      google_artifact_registry_repository_iam_member.nodes.role == "roles/artifactregistry.reader"
    )
    error_message = "Expected nodes that may write logs and read our images, and nothing else."
  }

  assert {
    condition     = try(google_container_node_pool.nodes.node_config[0].workload_metadata_config[0].mode, "none") == "GKE_METADATA"
    error_message = "Expected pods that do not see the node's identity."
  }

  assert {
    condition = (
      google_container_node_pool.nodes.node_config[0].shielded_instance_config[0].enable_secure_boot &&
      google_container_node_pool.nodes.node_config[0].shielded_instance_config[0].enable_integrity_monitoring
    )
    error_message = "Expected shielded nodes."
  }

  assert {
    condition = (
      google_container_node_pool.nodes.management[0].auto_repair &&
      google_container_node_pool.nodes.management[0].auto_upgrade &&
      google_container_node_pool.nodes.upgrade_settings[0].max_surge > 0 &&
      google_container_node_pool.nodes.upgrade_settings[0].max_unavailable == 0
    )
    error_message = "Expected nodes that repair and upgrade themselves, a new one before an old one ends."
  }
}
