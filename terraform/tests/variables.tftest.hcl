mock_provider "google" {}

variables {
  project = "understudy-test"
}

run "outputs" {
  variables {
    name   = "photos"
    region = "us-central1"
  }

  assert {
    condition     = google_artifact_registry_repository.images.format == "DOCKER" && google_artifact_registry_repository.images.location == "us-central1"
    error_message = "Expected a registry of images beside the cluster."
  }

  assert {
    condition     = output.registry == "us-central1-docker.pkg.dev/understudy-test/photos"
    error_message = "Expected the registry's address but received ${output.registry}."
  }

  assert {
    condition     = output.kube_context == "gke_understudy-test_us-central1_photos"
    error_message = "Expected the context that gcloud writes but received ${output.kube_context}."
  }

  assert {
    condition     = output.connect == "gcloud container clusters get-credentials photos --project understudy-test --location us-central1 --dns-endpoint"
    error_message = "Expected a command that connects by DNS but received ${output.connect}."
  }
}

run "deletion" {
  variables {
    deletion_protection = false
  }

  assert {
    condition     = google_container_cluster.cluster.deletion_protection == false
    error_message = "Expected a cluster that may be deleted."
  }
}

run "a_zone_is_no_region" {
  command = plan

  variables {
    region = "europe-west4-a"
  }

  expect_failures = [var.region]
}

run "a_name_of_24_characters_is_accepted" {
  command = plan

  variables {
    name = "abcdefghijklmnopqrstuvwx"
  }

  assert {
    condition     = length(google_service_account.nodes.account_id) == 30
    error_message = "Expected the longest account that Google accepts."
  }
}

run "a_name_of_25_characters_is_refused" {
  command = plan

  variables {
    name = "abcdefghijklmnopqrstuvwxy"
  }

  expect_failures = [var.name]
}

run "a_project_is_an_identifier" {
  command = plan

  variables {
    project = "My Project"
  }

  expect_failures = [var.project]
}
