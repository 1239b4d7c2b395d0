"""Calls the control plane with boto3: its paginators, the rules of every field, and each kind of error.

The wants are what API Gateway itself was recorded to answer, down to the blanks of its texts.
"""

import datetime
import os
import re
import sys

import boto3
from botocore import UNSIGNED
from botocore.client import Config
from botocore.exceptions import ClientError

REGION = os.environ["AWS_DEFAULT_REGION"]
TODAY = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
VALUE = "0123456789abcdefghij0123456789"
NO_PLAN, NO_KEY = "Invalid Usage Plan ID specified", "Invalid API Key identifier specified"
MODELLED = {"BadRequestException", "NotFoundException", "ConflictException"}  # boto3 has classes for these
checks = 0


def connect(**settings):
    config = Config(retries={"max_attempts": 0}, **settings.pop("config", {}))
    return boto3.client("apigateway", endpoint_url=os.environ["CONTROL"], config=config, **settings)


gw = connect()


def check(what, got, want):
    global checks
    if got != want:
        sys.exit(f"boto3: {what}: got {got!r}, want {want!r}")
    checks += 1


def call(status, operation, **arguments):
    """Makes a call that must have this status, and returns the answer without its metadata."""
    answer = getattr(gw, operation)(**arguments)
    metadata = answer.pop("ResponseMetadata")
    check(operation + ", status", metadata["HTTPStatusCode"], status)
    return answer


def refused(status, code, text, operation, client=gw, **arguments):
    """Makes a call that must fail with this status, error code and text."""
    try:
        answer = getattr(client, operation)(**arguments)
    except ClientError as error:
        told = error.response["Error"]
        got = error.response["ResponseMetadata"]["HTTPStatusCode"], told["Code"], told["Message"]
        check(f"{operation} {str(arguments)[:200]}", got, (status, code, text))
        check(operation + ", class", type(error).__name__, code if code in MODELLED else "ClientError")
    else:
        sys.exit(f"boto3: {operation} {arguments}: not refused: {answer}")


def bad(text, operation, **arguments):
    refused(400, "BadRequestException", text, operation, **arguments)


def missing(text, operation, **arguments):
    refused(404, "NotFoundException", text, operation, **arguments)


def conflict(text, operation, **arguments):
    refused(409, "ConflictException", text, operation, **arguments)


def patch(op, path, value=None):
    operation = {"op": op, "path": path}
    return [operation if value is None else operation | {"value": value}]


def names(answer):
    return [item["name"] for item in answer["items"]]


def matches(what, text, pattern):
    check(f"{what} {text!r} is {pattern}", bool(re.fullmatch(pattern, text)), True)


def key_fields():
    """Returns the id of a key without a name, and deletes the other keys that it makes."""
    created = call(201, "create_api_key")
    matches("id", created["id"], "[a-z0-9]{10}")
    matches("value", created["value"], "[A-Za-z0-9]{40}")
    dates = {name: created[name] for name in ("createdDate", "lastUpdatedDate")}
    plain = {"id": created["id"], "enabled": False, "stageKeys": [], **dates}
    check("a key without a name", created, plain | {"value": created["value"]})
    of = {"apiKey": created["id"]}
    check("without its value", call(200, "get_api_key", **of), plain | {"tags": {}})
    value = {"value": created["value"]}
    check("with its value", call(200, "get_api_key", includeValue=True, **of), plain | {"tags": {}} | value)
    check("in a list", call(200, "get_api_keys"), {"items": [plain]})
    check("in a list with values", call(200, "get_api_keys", includeValues=True), {"items": [plain | value]})

    updated = call(200, "update_api_key", patchOperations=patch("replace", "/enabled", "true"), **of)
    check("enabled", (updated["enabled"], updated["tags"], "value" in updated), (True, {}, False))
    updated = call(200, "update_api_key", patchOperations=patch("replace", "/enabled", "not-a-boolean"), **of)
    check("a text that is no boolean disables", updated["enabled"], False)

    fields = {"name": "full", "description": "d", "enabled": True, "customerId": "c", "tags": {"a": "b"}}
    full = call(201, "create_api_key", value="", **fields)
    matches("a value for an empty one", full["value"], "[A-Za-z0-9]{40}")
    check("what was given", {name: full[name] for name in fields}, fields)
    check("customer", names(call(200, "get_api_keys", customerId="c")), ["full"])
    check("other customer", call(200, "get_api_keys", customerId="d"), {"items": []})
    edits = patch("replace", "/name", "new") + patch("replace", "/description", "e")
    edits += patch("replace", "/customerId", "f")
    updated = call(200, "update_api_key", apiKey=full["id"], patchOperations=edits)
    fields |= {"name": "new", "description": "e", "customerId": "f"}
    check("replaced", {name: updated[name] for name in fields}, fields)
    check("deleted", call(202, "delete_api_key", apiKey=full["id"]), {})
    return created["id"]


def plan_fields():
    plain = call(201, "create_usage_plan", name="plain")
    matches("plan id", plain["id"], "[a-z0-9]{6}")
    check("a plan of a name", plain, {"id": plain["id"], "name": "plain", "apiStages": []})
    check("as it is read", call(200, "get_usage_plan", usagePlanId=plain["id"]), plain | {"tags": {}})
    quota = {"limit": 10, "period": "MONTH"}
    for throttle in ({"rateLimit": 2.0, "burstLimit": 1}, {"rateLimit": 1.0, "burstLimit": 2}):
        fields = {"name": "full", "description": "d"}
        plan = call(201, "create_usage_plan", throttle=throttle, quota=quota, tags={"a": "b"}, **fields)
        want = fields | {"id": plan["id"], "apiStages": []}
        want |= {"throttle": throttle, "quota": quota | {"offset": 0}}
        check("a full plan", plan, want | {"tags": {"a": "b"}})
        check("in a list, newest first", call(200, "get_usage_plans"), {"items": [want, plain]})
        call(202, "delete_usage_plan", usagePlanId=plan["id"])
    of = {"usagePlanId": plain["id"]}
    steps = patch("add", "/throttle/rateLimit", "2.5") + patch("add", "/throttle/burstLimit", "5")
    steps += patch("replace", "/quota/limit", "7") + patch("replace", "/quota/period", "WEEK")
    steps += patch("replace", "/quota/offset", "3")
    updated = call(200, "update_usage_plan", patchOperations=steps + patch("add", "/productCode", "code"), **of)
    want = {"throttle": {"rateLimit": 2.5, "burstLimit": 5}, "quota": {"limit": 7, "period": "WEEK", "offset": 3}}
    check("patched", updated, plain | want | {"productCode": "code", "tags": {}})
    removed = patch("remove", "/throttle") + patch("remove", "/quota") + patch("remove", "/productCode")
    check("removed", call(200, "update_usage_plan", patchOperations=removed, **of), plain | {"tags": {}})
    settings = {"rateLimit": 0.5, "burstLimit": 3}
    path = "/apiStages/demo:prod/throttle"
    for spelled in (path + "//pets/GET", path + "/~1pets/GET"):
        steps = patch("replace", spelled + "/rateLimit", "0.5") + patch("replace", spelled + "/burstLimit", "3")
        steps = patch("add", "/apiStages", "demo:prod") + steps
        stages = call(200, "update_usage_plan", patchOperations=steps, **of)["apiStages"]
        check("a method " + spelled, stages, [{"apiId": "demo", "stage": "prod", "throttle": {"/pets/GET": settings}}])
        stages = call(200, "update_usage_plan", patchOperations=patch("remove", spelled), **of)["apiStages"]
        check("without the method", stages, [{"apiId": "demo", "stage": "prod"}])
        call(200, "update_usage_plan", patchOperations=patch("remove", "/apiStages", "demo:prod"), **of)
    return plain["id"]


def membership(plan, key):
    """Puts the key into the plan. The key has no name and is sealed, so its value is shown always."""
    joined = call(201, "create_usage_plan_key", usagePlanId=plan, keyId=key, keyType="API_KEY")
    value = call(200, "get_api_key", apiKey=key, includeValue=True)["value"]
    check("joined", joined, {"id": key, "type": "API_KEY", "value": value})
    check("one member", call(200, "get_usage_plan_key", usagePlanId=plan, keyId=key), joined)
    check("members", call(200, "get_usage_plan_keys", usagePlanId=plan), {"items": [joined]})
    check("members of no plan", call(200, "get_usage_plan_keys", usagePlanId="nosuch"), {"items": []})
    check("plans of the key", [p["id"] for p in call(200, "get_usage_plans", keyId=key)["items"]], [plan])


def pages(plan):
    """Imports 60 keys into the plan, and reads every list by pages."""
    count = 60
    rows = "Name,Key,Description,Enabled,UsagePlanIds\n"
    rows += "".join(f"key{i:02},{'v' * 30}{i:02},,true,{plan}\n" for i in range(count))
    imported = call(201, "import_api_keys", body=rows.encode(), format="csv", failOnWarnings=True)
    check("imported", (len(set(imported["ids"])), imported["warnings"]), (count, []))
    newest = [f"key{i:02}" for i in reversed(range(count))]
    for operation, where in (("get_api_keys", {}), ("get_usage_plan_keys", {"usagePlanId": plan})):
        read = list(gw.get_paginator(operation).paginate(nameQuery="key", PaginationConfig={"PageSize": 25}, **where))
        check(operation + ", pages", [len(page["items"]) for page in read], [25, 25, 10])
        check(operation + ", newest first", [name for page in read for name in names(page)], newest)
        check(operation + ", last page", "position" in read[-1], False)
        for limit in (-1, 0, 501):
            check(operation + ", a limit out of range", len(call(200, operation, limit=limit, **where)["items"]), 25)
        check(operation + ", the most", len(call(200, operation, limit=500, **where)["items"]), count + 1)
        for prefix, want in (("key0", newest[50:]), ("KEY", []), ("ey0", []), ("key00x", [])):
            check(operation + ", prefix " + prefix, names(call(200, operation, nameQuery=prefix, **where)), want)
        one = call(200, operation, nameQuery="key5", limit=1, **where)
        check(operation + ", a filtered page goes on", (names(one), "position" in one), (["key59"], True))
    others = [call(201, "create_usage_plan", name=f"p{i}")["id"] for i in range(4)]
    read = list(gw.get_paginator("get_usage_plans").paginate(PaginationConfig={"PageSize": 2}))
    check("pages of plans", [p["id"] for page in read for p in page["items"]], [*reversed(others), plan])
    for other in others:
        call(202, "delete_usage_plan", usagePlanId=other)
    usage(plan, count + 1)
    call(202, "delete_api_key", apiKey=imported["ids"][0])
    check("a deleted key has left", len(call(200, "get_usage_plan_keys", usagePlanId=plan, limit=500)["items"]), count)
    for key in imported["ids"][1:]:
        gw.delete_api_key(apiKey=key)


def usage(plan, count):
    """Reads the usage of all members. Without a limit it is one page, since botocore loses all but the first."""
    quota = patch("add", "/quota/limit", "9") + patch("add", "/quota/period", "DAY")
    gw.update_usage_plan(usagePlanId=plan, patchOperations=quota)
    span = {"usagePlanId": plan, "startDate": TODAY, "endDate": TODAY}
    whole = call(200, "get_usage", **span)
    check("usage", {name: whole[name] for name in span}, span)
    check("usage of all", (len(whole["items"]), "position" in whole), (count, False))
    check("idle keys", [days for days in whole["items"].values() if days != [[0, 9]]], [])
    by_page = {}
    for page in gw.get_paginator("get_usage").paginate(PaginationConfig={"PageSize": 25}, **span):
        check("a page of usage", len(page["items"]) <= 25 and not by_page.keys() & page["items"].keys(), True)
        by_page |= page["items"]
    check("usage by pages", by_page, whole["items"])
    gw.update_usage_plan(usagePlanId=plan, patchOperations=patch("remove", "/quota"))


def key_errors(key):
    unknown = {"apiKey": "nosuchkey0"}
    missing(NO_KEY, "get_api_key", **unknown)
    missing(NO_KEY, "update_api_key", patchOperations=patch("replace", "/name", "x"), **unknown)
    missing(NO_KEY, "delete_api_key", **unknown)
    bad("API Key value should be at least 20 characters", "create_api_key", value=VALUE[:19])
    bad("API Key value exceeds maximum size of 128 characters", "create_api_key", value="x" * 129)
    bad("Invalid API Key name, can be at most 1024 characters.", "create_api_key", name="x" * 1025)
    long = "x" * 125_001
    bad("Invalid API Key description specified.", "create_api_key", description=long)
    edit = {"apiKey": key, "patchOperations": patch("replace", "/description", long)}
    bad("Invalid API Key description specified.", "update_api_key", **edit)
    twice = call(201, "create_api_key", value=VALUE)["id"]
    conflict("API Key already exists", "create_api_key", value=VALUE)
    call(202, "delete_api_key", apiKey=twice)
    paths = "/description, /enabled, /name, /customerId"
    text = f"Invalid patch path  '/id' specified for op 'replace'. Must be one of: [{paths}]"
    bad(text, "update_api_key", apiKey=key, patchOperations=patch("replace", "/id", "x"))
    bad("Missing required column 'Key'", "import_api_keys", body=b"Name\na\n", format="csv")
    above = {"body": b"x" * ((10 << 20) + 1), "format": "csv"}
    refused(413, "RequestEntityTooLargeException", "Request Too Long", "import_api_keys", **above)


def plan_errors(plan, key):
    unknown, of = {"usagePlanId": "nosuch"}, {"usagePlanId": plan}
    missing(NO_PLAN, "get_usage_plan", **unknown)
    missing(NO_PLAN, "update_usage_plan", patchOperations=patch("replace", "/name", "x"), **unknown)
    missing(NO_PLAN, "delete_usage_plan", **unknown)
    missing(NO_PLAN, "get_usage", startDate=TODAY, endDate=TODAY, **unknown)
    missing(NO_PLAN, "create_usage_plan_key", keyId=key, keyType="API_KEY", **unknown)
    missing(NO_KEY, "create_usage_plan_key", keyId="nosuchkey0", keyType="API_KEY", **unknown)
    missing(NO_PLAN, "get_usage_plan_key", keyId=key, **unknown)
    missing(NO_KEY, "get_usage_plan_key", keyId="nosuchkey0", **of)
    missing(NO_PLAN, "delete_usage_plan_key", keyId=key, **unknown)
    missing(NO_PLAN, "update_usage", keyId=key, patchOperations=patch("replace", "/remaining", "1"), **unknown)

    def refuses(text, operations, error=bad):
        error(text, "update_usage_plan", patchOperations=operations, **of)

    throttle = "/apiStages/<apidId:stageName>/throttle"  # so spelled by API Gateway
    paths = f"/apiStages, /quota, /throttle, /productCode, {throttle}/<resourcePath>/<httpMethod>, {throttle}"
    path = "/apiStages/x:dev"
    text = f"Invalid patch path  '{path}' specified for op 'remove'. Must be one of: [{paths}]"
    refuses(text, patch("remove", path))
    refuses("Invalid API Stage specified", patch("remove", "/apiStages"))
    refuses("Invalid API Stage specified", patch("remove", "/apiStages", "demo"))
    text = f"Invalid API Stage {{api: demo, stage: none}} specified for usageplan {plan}"
    refuses(text, patch("remove", "/apiStages", "demo:none"), missing)
    refuses("API Stage not found: demo:none", patch("add", "/apiStages", "demo:none"), missing)

    def invalid(text, error=bad, **fields):
        error(text, "create_usage_plan", name="invalid", **fields)

    stage = {"apiId": "demo", "stage": "prod"}
    invalid("API Stage not found: demo:none", missing, apiStages=[stage | {"stage": "none"}])
    invalid("Invalid API Stage {api: , stage: } specified for usageplan invalid", apiStages=[{"apiId": "", "stage": ""}])
    methods = {"throttle": {"pets": {"rateLimit": 1}}}
    invalid("Invalid method {resourcePath: /,method: pets} specified", apiStages=[stage | methods])
    for quota in ({"period": "DAY"}, {"period": "DAY", "limit": 0}, {"period": "DAY", "limit": -1}):
        invalid("Usage Plan quota limit must be a non-negative numeric", quota=quota)
    for quota in ({"limit": 1}, {"limit": 1, "period": "YEAR"}):
        invalid("Invalid Usage Plan quota period specified. Must be one of [DAY, WEEK, MONTH]", quota=quota)
    offsets = ("DAY", 1, "zero"), ("WEEK", 7, "between 0 and 6 inclusive"), ("MONTH", 28, "between 0 and 27 inclusive")
    for period, offset, rule in offsets:
        quota = {"limit": 1, "period": period, "offset": offset}
        invalid(f"Usage Plan quota offset must be {rule} in the {period} period", quota=quota)
    conflicts(plan, key)


def conflicts(plan, key):
    """Gives the plan a stage. The key is its member."""
    add = patch("add", "/apiStages", "demo:prod")
    call(200, "update_usage_plan", usagePlanId=plan, patchOperations=add)
    text = f"Cannot delete Usage Plan {plan} because there are API Stages associated with it, including demo:prod"
    bad(text, "delete_usage_plan", usagePlanId=plan)
    already = f"API Key {key} is already associated with usage plan {plan} for API stage demo:prod"
    other = call(201, "create_usage_plan", name="other", apiStages=[{"apiId": "demo", "stage": "prod"}])["id"]
    for id in (plan, other):
        conflict(already, "create_usage_plan_key", usagePlanId=id, keyId=key, keyType="API_KEY")
    for id in (plan, other):
        call(200, "update_usage_plan", usagePlanId=id, patchOperations=patch("remove", "/apiStages", "demo:prod"))
    call(202, "delete_usage_plan", usagePlanId=other)


def caller_errors():
    """Calls as those who may not."""
    owner, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    customer, own = os.environ["CUSTOMER_ACCESS_KEY"], os.environ["CUSTOMER_SECRET_KEY"]

    def by(id, secret, **settings):
        return connect(aws_access_key_id=id, aws_secret_access_key=secret, **settings)

    unknown = "The security token included in the request is invalid."
    user, keys = "arn:aws:iam::123456789012:user/julianwood", f"arn:aws:apigateway:{REGION}::/apikeys"
    denied = f"User: {user} is not authorized to perform: apigateway:GET on resource: {keys}"
    refused(403, "AccessDeniedException", denied, "get_api_keys", by(customer, own))
    refused(403, "UnrecognizedClientException", unknown, "get_api_keys", by("AKIDUNKNOWN", secret))
    anonymous = connect(config={"signature_version": UNSIGNED})
    refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token", "get_api_keys", anonymous)
    for what, client in (("secret", by(owner, own)), ("region", by(owner, secret, region_name="eu-north-1"))):
        try:
            client.get_api_keys()
        except ClientError as error:
            check("wrong " + what, error.response["Error"]["Code"], "InvalidSignatureException")
        else:
            sys.exit(f"boto3: wrong {what}: not refused")
    check("an operation beyond the control plane", call_code("get_domain_names"), "MissingAuthenticationTokenException")


def call_code(operation):
    try:
        getattr(gw, operation)()
    except ClientError as error:
        return error.response["Error"]["Code"]


def tags(plan, key):
    for kind, id in (("usageplans", plan), ("apikeys", key)):
        arn = f"arn:aws:apigateway:{REGION}::/{kind}/{id}"
        check("no tags", call(200, "get_tags", resourceArn=arn), {"tags": {}})
        call(204, "tag_resource", resourceArn=arn, tags={"a": "1", "b é": "x/y=z"})
        call(204, "untag_resource", resourceArn=arn, tagKeys=["a", "none"])
        check("tags", call(200, "get_tags", resourceArn=arn), {"tags": {"b é": "x/y=z"}})
        call(204, "untag_resource", resourceArn=arn, tagKeys=["b é"])
    missing(NO_PLAN, "get_tags", resourceArn=f"arn:aws:apigateway:{REGION}::/usageplans/nosuch")
    missing(NO_KEY, "tag_resource", resourceArn=f"arn:aws:apigateway:{REGION}::/apikeys/nosuchkey0", tags={"a": "b"})


key = key_fields()
plan = plan_fields()
membership(plan, key)
tags(plan, key)
pages(plan)
key_errors(key)
plan_errors(plan, key)
caller_errors()
call(202, "delete_usage_plan_key", usagePlanId=plan, keyId=key)
missing(NO_PLAN, "get_usage_plan_key", usagePlanId=plan, keyId=key)
call(202, "delete_usage_plan", usagePlanId=plan)
call(202, "delete_api_key", apiKey=key)
check("nothing is left", [call(200, "get_api_keys"), call(200, "get_usage_plans")], [{"items": []}] * 2)
print(f"boto3: {checks} checks passed")
