output "registry" {
  description = "Where images are pushed to: an image is called REGISTRY/understudy-NAME."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "connect" {
  description = "The command that adds the cluster to a kubeconfig."
  value       = "gcloud container clusters get-credentials ${google_container_cluster.cluster.name} --project ${var.project} --location ${var.region} --dns-endpoint"
}

output "kube_context" {
  description = "The name that this command gives to the cluster."
  value       = "gke_${var.project}_${var.region}_${google_container_cluster.cluster.name}"
}
