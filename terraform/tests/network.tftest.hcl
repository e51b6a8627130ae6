# Against a mock, as all files here: nothing is created.
mock_provider "google" {}

variables {
  project = "understudy-test"
}

run "network" {
  assert {
    condition     = google_compute_network.network.auto_create_subnetworks == false
    error_message = "Expected no subnetworks but our own."
  }

  assert {
    condition     = google_compute_subnetwork.nodes.private_ip_google_access
    error_message = "Expected private nodes to reach Google's own services."
  }

  assert {
    condition     = length(google_compute_subnetwork.nodes.log_config) == 1
    error_message = "Expected flow logs of the subnetwork."
  }

  # Private nodes can pull from other registries only if the NAT of their network covers their subnetwork.
  assert {
    condition = (
      google_compute_router.router.network == google_compute_network.network.id &&
      google_compute_router_nat.nat.router == google_compute_router.router.name &&
      one(google_compute_router_nat.nat.subnetwork).name == google_compute_subnetwork.nodes.id &&
      contains(one(google_compute_router_nat.nat.subnetwork).source_ip_ranges_to_nat, "ALL_IP_RANGES")
    )
    error_message = "Expected a NAT for all addresses of the nodes' subnetwork."
  }

  assert {
    condition = (
      one(google_compute_firewall.webhook.allow).ports == tolist(["8443"]) &&
      google_compute_firewall.webhook.source_ranges == toset([google_container_cluster.cluster.private_cluster_config[0].master_ipv4_cidr_block]) &&
      google_compute_firewall.webhook.target_tags == toset(google_container_node_pool.nodes.node_config[0].tags)
    )
    error_message = "Expected the control plane, and nothing else, to reach Knative's webhook on the nodes."
  }
}
