data "aws_iam_openid_connect_provider" "cluster" {
  arn = var.oidc_provider_arn
}

locals {
  issuer = replace(data.aws_iam_openid_connect_provider.cluster.url, "https://", "")
}

data "aws_iam_policy_document" "gateway_trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${var.service_account}"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "gateway" {
  name               = "${var.name}-gateway"
  assume_role_policy = data.aws_iam_policy_document.gateway_trust.json
}

data "aws_iam_policy_document" "gateway" {
  statement {
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.this["store"].arn}/*"]
  }
  # Audit files are written and read, never removed.
  statement {
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectRetention", "s3:GetObjectRetention"]
    resources = ["${aws_s3_bucket.this["audit"].arn}/*"]
  }
  statement {
    actions   = ["s3:ListBucket", "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"]
    resources = [for bucket in aws_s3_bucket.this : bucket.arn]
  }
  statement {
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = [for secret in aws_secretsmanager_secret.this : secret.arn]
  }
}

resource "aws_iam_role_policy" "gateway" {
  role   = aws_iam_role.gateway.id
  policy = data.aws_iam_policy_document.gateway.json
}

data "aws_iam_policy_document" "replication_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "replication" {
  name               = "${var.name}-replication"
  assume_role_policy = data.aws_iam_policy_document.replication_trust.json
}

data "aws_iam_policy_document" "replication" {
  statement {
    actions   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
    resources = [for bucket in aws_s3_bucket.this : bucket.arn]
  }
  statement {
    actions   = ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging", "s3:GetObjectRetention", "s3:GetObjectLegalHold"]
    resources = [for bucket in aws_s3_bucket.this : "${bucket.arn}/*"]
  }
  statement {
    actions   = ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"]
    resources = [for bucket in aws_s3_bucket.replica : "${bucket.arn}/*"]
  }
}

resource "aws_iam_role_policy" "replication" {
  role   = aws_iam_role.replication.id
  policy = data.aws_iam_policy_document.replication.json
}

# What components/external-secrets-aws reads. Provider and signing keys are put in by hand or by a rotation function, every 90 days.
resource "aws_secretsmanager_secret" "this" {
  for_each = toset(["pointsman/gateway", "pointsman/providers", "pointsman/models"])
  name     = each.value
}

resource "random_password" "master_key" {
  length  = 40
  special = false
}

resource "aws_secretsmanager_secret_version" "gateway" {
  secret_id = aws_secretsmanager_secret.this["pointsman/gateway"].id
  secret_string = jsonencode({
    LITELLM_MASTER_KEY = "sk-${random_password.master_key.result}"
    DATABASE_URL       = "postgresql://pointsman:${random_password.database.result}@${aws_db_instance.this.endpoint}/pointsman?sslmode=require"
    REDIS_URL          = "rediss+cluster://:${random_password.cache.result}@${aws_elasticache_replication_group.this.configuration_endpoint_address}:6379"
  })
}
