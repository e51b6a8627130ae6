variable "project" {
  description = "Identifier of the Google Cloud project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "Expected 6 to 30 lower-case letters, digits and hyphens for project but received \"${var.project}\"."
  }
}

variable "region" {
  description = "Region of the cluster and of the registry."
  type        = string
  default     = "europe-west4"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region)) # a zone would make a zonal cluster
    error_message = "Expected a region such as europe-west4 for region but received \"${var.region}\"."
  }
}

variable "name" {
  description = "Name of the cluster, its network and its registry."
  type        = string
  default     = "understudy"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,22}[a-z0-9]$", var.name)) # with "-nodes" a service account's 30 characters
    error_message = "Expected 2 to 24 lower-case letters, digits and hyphens for name but received \"${var.name}\"."
  }
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete the cluster."
  type        = bool
  default     = true
}
