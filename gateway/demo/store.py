"""Stores the demo's secrets, as an operator would with `aws secretsmanager create-secret`."""

import sys

import boto3

PROJECT = "u__org__acme__domain__development__project__flytesnacks__key__"
DOMAIN = "u__org__acme__domain__development__project____key__"

client = boto3.client("secretsmanager", endpoint_url=sys.argv[1])
for name, value in {
    PROJECT + "db-password": {"SecretString": "correct horse battery staple"},
    PROJECT + "tls.crt": {"SecretBinary": b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"},
    DOMAIN + "slack-token": {"SecretString": "xoxb-demo"},
}.items():
    client.create_secret(Name=name, **value)
    print(name)
