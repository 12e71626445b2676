"""Events of AWS Lambda as its documentation shows them, with a body of the test.

Shapes and values are those of the developer guides: API Gateway with payload 1.0 and 2.0, function
URL, SQS, Amazon MSK and self-managed Kafka.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

HEADERS = {"content-type": "application/json", "host": "id.execute-api.us-east-1.amazonaws.com"}


def api_gateway_v1(body: str, path: str = "/predict") -> dict[str, Any]:
    return {
        "version": "1.0",
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "POST",
        "headers": HEADERS,
        "multiValueHeaders": {name: [value] for name, value in HEADERS.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "authorizer": {"claims": None, "scopes": None},
            "domainName": "id.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "id",
            "extendedRequestId": "request-id",
            "httpMethod": "POST",
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "user-agent"},
            "path": path,
            "protocol": "HTTP/1.1",
            "requestId": "id=",
            "requestTime": "04/Mar/2020:19:15:17 +0000",
            "requestTimeEpoch": 1583349317135,
            "resourceId": None,
            "resourcePath": "/{proxy+}",
            "stage": "$default",
        },
        "pathParameters": None,
        "stageVariables": None,
        "body": body,
        "isBase64Encoded": False,
    }


def api_gateway_v2(body: str, path: str = "/predict") -> dict[str, Any]:
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "cookies": ["cookie1", "cookie2"],
        "headers": HEADERS,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api-id",
            "domainName": "id.execute-api.us-east-1.amazonaws.com",
            "domainPrefix": "id",
            "http": {
                "method": "POST",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "agent",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "body": body,
        "isBase64Encoded": False,
    }


def function_url(body: str, path: str = "/predict") -> dict[str, Any]:
    event = api_gateway_v2(body, path)
    event["requestContext"]["domainName"] = "url-id.lambda-url.us-west-2.on.aws"
    # A function URL encodes every body that it does not know to be text.
    return {**event, "body": base64.b64encode(body.encode()).decode(), "isBase64Encoded": True}


HTTP_EVENTS = {
    "API Gateway, payload 1.0": api_gateway_v1,
    "API Gateway, payload 2.0": api_gateway_v2,
    "function URL": function_url,
}


def sqs(bodies: Sequence[str]) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-66197{at:07d}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1545082649183",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1545082649185",
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
                "awsRegion": "us-east-2",
            }
            for at, body in enumerate(bodies)
        ]
    }


def msk(values: Sequence[bytes | None], *, topic: str = "features") -> dict[str, Any]:
    return {
        "eventSource": "aws:kafka",
        "eventSourceArn": "arn:aws:kafka:sa-east-1:123456789012:cluster/vpc-2priv-2pub/751d2973",
        "bootstrapServers": "b-2.demo-cluster-1.a1bcde.c1.kafka.us-east-1.amazonaws.com:9092",
        "records": {
            f"{topic}-0": [
                {
                    "topic": topic,
                    "partition": 0,
                    "offset": 15 + at,
                    "timestamp": 1545084650987,
                    "timestampType": "CREATE_TIME",
                    "key": base64.b64encode(b"u-1").decode(),
                    "value": None if value is None else base64.b64encode(value).decode(),
                    "headers": [{"ce_type": list(b"weir.feature-row.v1")}],
                }
                for at, value in enumerate(values)
            ]
        },
    }


def self_managed_kafka(values: Sequence[bytes | None]) -> dict[str, Any]:
    event = msk(values)
    del event["eventSourceArn"]
    event["eventSource"] = "SelfManagedKafka"
    for records in event["records"].values():
        for record in records:
            record["partition"] = str(record["partition"])
    return event
