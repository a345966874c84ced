"""The environment variables without which no function starts."""

ENVIRONMENT = {
    "FLEET": "acme",
    "TABLE_NAME": "table",
    "BUCKET_NAME": "bucket",
    "EVENT_BUS_NAME": "bus",
    "ALERT_TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:alerts",
    "WORK_QUEUE_URL": "https://queue.test/work",
    "WORK_DLQ_URL": "https://queue.test/work-dlq",
    "BIND_QUEUE_URL": "https://queue.test/bind.fifo",
    "BIND_DLQ_URL": "https://queue.test/bind-dlq.fifo",
    "BACKUP_QUEUE_URL": "https://queue.test/backup",
    "BACKUP_DLQ_URL": "https://queue.test/backup-dlq",
    "SECRETS_PREFIX": "stack",
    "CLOUDFLARE_ACCOUNT_ID": "account",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
