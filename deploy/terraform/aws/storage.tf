locals {
  # Configuration, models and traces; and audit files, which nobody may change.
  buckets = { store = var.name, audit = "${var.name}-audit" }
}

resource "aws_s3_bucket" "this" {
  for_each            = local.buckets
  bucket              = each.value
  object_lock_enabled = each.key == "audit"
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule {
    apply_server_side_encryption_by_default { sse_algorithm = "AES256" }
  }
}

resource "aws_s3_bucket_object_lock_configuration" "audit" {
  bucket = aws_s3_bucket.this["audit"].id
  rule {
    default_retention {
      mode = "COMPLIANCE"
      days = var.audit_retention_days
    }
  }
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  # Read often for a week, seldom for three months, then hardly ever.
  rule {
    id     = "archive"
    status = "Enabled"
    filter { prefix = each.key == "audit" ? "audit-logs/" : "traces/" }
    transition {
      days          = 90
      storage_class = "GLACIER"
    }
  }
  rule {
    id     = "old-versions"
    status = each.key == "audit" ? "Disabled" : "Enabled"
    filter {}
    noncurrent_version_expiration { noncurrent_days = 180 }
    abort_incomplete_multipart_upload { days_after_initiation = 2 }
  }
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket" "replica" {
  provider            = aws.replica
  for_each            = local.buckets
  bucket              = "${each.value}-replica"
  object_lock_enabled = each.key == "audit"
}

resource "aws_s3_bucket_versioning" "replica" {
  provider = aws.replica
  for_each = aws_s3_bucket.replica
  bucket   = each.value.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_public_access_block" "replica" {
  provider                = aws.replica
  for_each                = aws_s3_bucket.replica
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_replication_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  role     = aws_iam_role.replication.arn
  rule {
    id     = "everything"
    status = "Enabled"
    filter {}
    delete_marker_replication { status = each.key == "audit" ? "Disabled" : "Enabled" }
    destination {
      bucket        = aws_s3_bucket.replica[each.key].arn
      storage_class = "STANDARD_IA"
    }
  }
  depends_on = [aws_s3_bucket_versioning.this, aws_s3_bucket_versioning.replica]
}
