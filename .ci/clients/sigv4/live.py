"""Calls API Gateway's control plane and S3 with boto3, at the addresses given as arguments."""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

API, S3, TEMPORARY, TOKEN = sys.argv[1:]
KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
WITH = {"region_name": "eu-west-1", "config": Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})}

api = boto3.client("apigateway", endpoint_url=API, **KEYS, **WITH)
assert api.get_usage_plans(limit=10)["items"][0]["id"] == "jcfq33"
assert api.create_usage_plan(name="RestrictUsage")["id"] == "jcfq33"
assert api.get_usage(usagePlanId="ab/c d:1", startDate="2026-11-01", endDate="2026-11-24")["usagePlanId"] == "jcfq33"

temporary = boto3.client("apigateway", endpoint_url=TEMPORARY, aws_session_token=TOKEN, **KEYS, **WITH)
assert temporary.create_usage_plan(name="RestrictUsage")["id"] == "jcfq33"

s3 = boto3.client("s3", endpoint_url=S3, **KEYS, **WITH)
s3.put_object(Bucket="bucket", Key="a b//c/../d$é", Body=b"hello world\n")
assert s3.get_object(Bucket="bucket", Key="a b//c/../d$é")["Body"].read() == b"hello world\n"

for refused, code in (
    (boto3.client("apigateway", endpoint_url=API, **(KEYS | {"aws_secret_access_key": "wrong"}), **WITH), "InvalidSignatureException"),
    (boto3.client("apigateway", endpoint_url=API, **(KEYS | {"aws_access_key_id": "AKIDUNKNOWN"}), **WITH), "UnrecognizedClientException"),
    (boto3.client("apigateway", endpoint_url=API, aws_session_token=TOKEN, **KEYS, **WITH), "UnrecognizedClientException"),
):
    try:
        refused.get_usage_plans()
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        sys.exit(f"boto3: not refused with {code}")
