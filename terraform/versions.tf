terraform {
  required_version = ">= 1.11" # 1.11.4 runs the tests

  # The tests check names and types against the schema of 6.50.0; `terraform init` takes the newest 7.x.
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 8.0"
    }
  }

  backend "gcs" {} # bucket and prefix are given to `terraform init`: they differ per project
}

provider "google" {
  project = var.project
  region  = var.region
}
