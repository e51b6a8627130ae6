import type { Edit } from './bed.ts';

/** A mistake that somebody may make, and the words by which Terraform finds it. */
export interface Mistake extends Edit {
  readonly name: string;
  readonly words: string;
}

/** One that a file of terraform/tests finds. */
export interface Fault extends Mistake {
  readonly by: 'cluster' | 'network' | 'nodes' | 'variables';
}

const block = (file: string, from: string) => ({ file, from, to: '' });

/** Each must fail one file of `terraform test`. */
export const faults: readonly Fault[] = [
  {
    name: 'public nodes',
    by: 'cluster',
    file: 'cluster.tf',
    from: 'enable_private_nodes   = true',
    to: 'enable_private_nodes   = false',
    words: 'Expected private nodes.',
  },
  {
    name: 'nodes per zone',
    by: 'nodes',
    file: 'nodes.tf',
    from: 'total_min_node_count = 2\n    total_max_node_count = 3',
    to: 'min_node_count = 2\n    max_node_count = 3',
    words: 'Expected 2 to 3 nodes in total.',
  },
  {
    name: 'three nodes per zone at the start',
    by: 'nodes',
    file: 'nodes.tf',
    from: '  initial_node_count = 1',
    to: '  initial_node_count = 3',
    words: 'Expected no number of nodes per zone, but one in each at the start.',
  },
  {
    name: 'a fourth node',
    by: 'nodes',
    file: 'nodes.tf',
    from: 'total_max_node_count = 3',
    to: 'total_max_node_count = 4',
    words: 'Expected 2 to 3 nodes in total.',
  },
  {
    name: 'a NAT for another subnetwork',
    by: 'network',
    file: 'network.tf',
    from: 'name                    = google_compute_subnetwork.nodes.id',
    to: 'name                    = "other"',
    words: "Expected a NAT for all addresses of the nodes' subnetwork.",
  },
  {
    name: 'a NAT that leaves the pods out',
    by: 'network',
    file: 'network.tf',
    from: '["ALL_IP_RANGES"]',
    to: '["PRIMARY_IP_RANGE"]',
    words: "Expected a NAT for all addresses of the nodes' subnetwork.",
  },
  {
    name: 'no NAT',
    by: 'network',
    ...block(
      'network.tf',
      `
  subnetwork {
    name                    = google_compute_subnetwork.nodes.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }
`,
    ),
    words: 'one(google_compute_router_nat.nat.subnetwork)',
  },
  {
    name: 'the default service account',
    by: 'nodes',
    ...block('nodes.tf', '    service_account = google_service_account.nodes.email\n'),
    words: "Expected an account of the nodes' own, not the project's default.",
  },
  {
    name: 'a node account with every right',
    by: 'nodes',
    file: 'nodes.tf',
    from: 'roles/container.defaultNodeServiceAccount',
    to: 'roles/editor',
    words: 'Expected nodes that may write logs and read our images, and nothing else.',
  },
  {
    name: 'another channel',
    by: 'cluster',
    file: 'cluster.tf',
    from: '"REGULAR"',
    to: '"RAPID"',
    words: 'Expected the channel REGULAR.',
  },
  {
    name: 'no Workload Identity',
    by: 'cluster',
    ...block(
      'cluster.tf',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: Terraform's
      '  workload_identity_config {\n    workload_pool = "${var.project}.svc.id.goog"\n  }\n',
    ),
    words: "Expected Workload Identity with the project's pool.",
  },
  {
    name: "pods with the node's identity",
    by: 'nodes',
    file: 'nodes.tf',
    from: '"GKE_METADATA"',
    to: '"GCE_METADATA"',
    words: "Expected pods that do not see the node's identity.",
  },
  {
    name: 'a fixed protection from deletion',
    by: 'variables',
    file: 'cluster.tf',
    from: 'deletion_protection = var.deletion_protection',
    to: 'deletion_protection = true',
    words: 'Expected a cluster that may be deleted.',
  },
  {
    name: 'no protection from deletion',
    by: 'cluster',
    file: 'variables.tf',
    from: 'default     = true',
    to: 'default     = false',
    words: 'Expected protection from deletion by default.',
  },
  {
    name: 'another type of machine',
    by: 'nodes',
    file: 'nodes.tf',
    from: 'n2-standard-2',
    to: 'n2-standard-4',
    words: 'Expected nodes of the type n2-standard-2.',
  },
  {
    name: 'an endpoint by address',
    by: 'cluster',
    file: 'cluster.tf',
    from: 'ip_endpoints_config {\n      enabled = false',
    to: 'ip_endpoints_config {\n      enabled = true',
    words: 'Expected no endpoint by address.',
  },
  {
    name: 'no endpoint by DNS',
    by: 'cluster',
    file: 'cluster.tf',
    from: 'allow_external_traffic = true',
    to: 'allow_external_traffic = false',
    words: 'Expected an endpoint by DNS.',
  },
  {
    name: 'a zonal cluster',
    by: 'cluster',
    file: 'cluster.tf',
    from: 'location            = var.region',
    to: 'location            = "europe-west4-a"',
    words: 'Expected a regional cluster.',
  },
  {
    name: 'a network without policies',
    by: 'cluster',
    file: 'cluster.tf',
    from: 'ADVANCED_DATAPATH',
    to: 'LEGACY_DATAPATH',
    words: 'Expected a network that enforces policies.',
  },
  {
    name: 'a webhook that the control plane does not reach',
    by: 'network',
    file: 'network.tf',
    from: 'source_ranges = [local.control_plane]',
    to: 'source_ranges = ["0.0.0.0/0"]',
    words: "Expected the control plane, and nothing else, to reach Knative's webhook on the nodes.",
  },
  {
    name: 'a name that is too long',
    by: 'variables',
    file: 'variables.tf',
    from: '{0,22}',
    to: '{0,23}',
    words: 'var.name',
  },
  {
    name: "another region's registry",
    by: 'variables',
    file: 'registry.tf',
    from: 'location      = var.region',
    to: 'location      = "europe"',
    words: 'Expected a registry of images beside the cluster.',
  },
];

/** Each must fail `terraform validate`: they show that the schema is Google's. */
export const misspellings: readonly Mistake[] = [
  {
    name: 'an unknown argument',
    file: 'cluster.tf',
    from: 'datapath_provider ',
    to: 'data_path_provider ',
    words: 'An argument named "data_path_provider" is not expected here.',
  },
  {
    name: 'an unknown block',
    file: 'cluster.tf',
    from: 'release_channel {',
    to: 'release_chanel {',
    words: 'Blocks of type "release_chanel" are not expected here.',
  },
  {
    name: 'a second block where one may be',
    file: 'cluster.tf',
    from: 'release_channel {',
    to: 'release_channel {\n    channel = "RAPID"\n  }\n  release_channel {',
    words: 'No more than 1 "release_channel" blocks are allowed',
  },
  {
    name: 'a word for a number',
    file: 'nodes.tf',
    from: 'total_max_node_count = 3',
    to: 'total_max_node_count = "three"',
    words: 'Inappropriate value for attribute "total_max_node_count": a number is required.',
  },
  {
    name: 'a pool without a cluster',
    ...block('nodes.tf', '  cluster            = google_container_cluster.cluster.id\n'),
    words: 'The argument "cluster" is required, but no definition was found.',
  },
  {
    name: 'an unknown resource',
    file: 'registry.tf',
    from: 'resource "google_artifact_registry_repository_iam_member"',
    to: 'resource "google_artifact_registry_reader"',
    words: 'Invalid resource type',
  },
];
