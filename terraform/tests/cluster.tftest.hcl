mock_provider "google" {}

variables {
  project = "understudy-test"
}

run "cluster" {
  assert {
    condition     = google_container_cluster.cluster.location == var.region
    error_message = "Expected a regional cluster."
  }

  assert {
    condition     = google_container_cluster.cluster.enable_autopilot != true
    error_message = "Expected a Standard cluster."
  }

  assert {
    condition     = try(google_container_cluster.cluster.private_cluster_config[0].enable_private_nodes, false)
    error_message = "Expected private nodes."
  }

  assert {
    condition     = try(google_container_cluster.cluster.control_plane_endpoints_config[0].dns_endpoint_config[0].allow_external_traffic, false)
    error_message = "Expected an endpoint by DNS."
  }

  assert {
    condition     = try(google_container_cluster.cluster.control_plane_endpoints_config[0].ip_endpoints_config[0].enabled, true) == false
    error_message = "Expected no endpoint by address."
  }

  assert {
    condition     = try(google_container_cluster.cluster.workload_identity_config[0].workload_pool, "none") == "understudy-test.svc.id.goog"
    error_message = "Expected Workload Identity with the project's pool."
  }

  assert {
    condition     = try(google_container_cluster.cluster.release_channel[0].channel, "none") == "REGULAR"
    error_message = "Expected the channel REGULAR."
  }

  assert {
    condition     = google_container_cluster.cluster.datapath_provider == "ADVANCED_DATAPATH"
    error_message = "Expected a network that enforces policies."
  }

  assert {
    condition = (
      google_container_cluster.cluster.ip_allocation_policy[0].cluster_secondary_range_name == google_compute_subnetwork.nodes.secondary_ip_range[0].range_name &&
      google_container_cluster.cluster.ip_allocation_policy[0].services_secondary_range_name == google_compute_subnetwork.nodes.secondary_ip_range[1].range_name
    )
    error_message = "Expected pods and services in the ranges of the subnetwork."
  }

  assert {
    condition     = google_container_cluster.cluster.deletion_protection == true
    error_message = "Expected protection from deletion by default."
  }

  assert {
    condition     = google_container_cluster.cluster.master_auth[0].client_certificate_config[0].issue_client_certificate == false
    error_message = "Expected no client certificate: it cannot be revoked."
  }

  assert {
    condition     = can(regex("^1\\.(3[4-9]|[4-9][0-9])", google_container_cluster.cluster.min_master_version))
    error_message = "Expected Kubernetes 1.34 or later, which Knative 1.23 asks for."
  }
}
