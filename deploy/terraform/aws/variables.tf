variable "name" {
  description = "Prefix of everything: one installation."
  type        = string
  default     = "pointsman-production"
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  description = "Private subnets in at least three zones."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 3
    error_message = "Three zones: a quorum survives the loss of one."
  }
}

variable "client_security_group_ids" {
  description = "Security groups of the nodes that gateways run on."
  type        = list(string)
}

variable "oidc_provider_arn" {
  description = "IAM OIDC provider of the EKS cluster."
  type        = string
}

variable "service_account" {
  description = "namespace:name of the ServiceAccount of deploy/base."
  type        = string
  default     = "pointsman:pointsman"
}

variable "database_class" {
  type    = string
  default = "db.r7g.large"
}

variable "cache_node_type" {
  type    = string
  default = "cache.r7g.large"
}

variable "audit_retention_days" {
  description = "Nobody can delete an audit file before this, not even the account's root."
  type        = number
  default     = 365
}
