output "gateway_role_arn" {
  description = "Goes into the annotation eks.amazonaws.com/role-arn of the ServiceAccount."
  value       = aws_iam_role.gateway.arn
}

output "store_url" {
  value = "s3://${aws_s3_bucket.this["store"].bucket}"
}

output "audit_url" {
  value = "s3://${aws_s3_bucket.this["audit"].bucket}"
}
