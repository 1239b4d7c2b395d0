"""Runs moto's cognito-idp, signs a user up and in, and passes the tokens to `auth moto`, whose path is the argument."""

import json
import logging
import subprocess
import sys

import boto3
from moto.server import ThreadedMotoServer

PASSWORD = "Correct-horse-9"


def tokens(idp):
    """Creates a pool with a client, a group and a user, and returns the result of signing in."""
    pool = idp.create_user_pool(PoolName="loyalty")["UserPool"]["Id"]
    client = idp.create_user_pool_client(UserPoolId=pool, ClientName="app")["UserPoolClient"]["ClientId"]
    idp.admin_create_user(UserPoolId=pool, Username="julianwood", TemporaryPassword=PASSWORD)
    idp.admin_set_user_password(UserPoolId=pool, Username="julianwood", Password=PASSWORD, Permanent=True)
    idp.create_group(UserPoolId=pool, GroupName="gold")
    idp.admin_add_user_to_group(UserPoolId=pool, GroupName="gold", Username="julianwood")
    result = idp.admin_initiate_auth(
        UserPoolId=pool,
        ClientId=client,
        AuthFlow="ADMIN_NO_SRP_AUTH",
        AuthParameters={"USERNAME": "julianwood", "PASSWORD": PASSWORD},
    )["AuthenticationResult"]
    return {"pool": pool, "client": client, "id": result["IdToken"], "access": result["AccessToken"]}


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    idp = boto3.client(
        "cognito-idp", region_name="eu-west-1", endpoint_url=endpoint, aws_access_key_id="x", aws_secret_access_key="x"
    )
    facts = tokens(idp) | {"endpoint": endpoint}
    done = subprocess.run([sys.argv[1], "moto"], input=json.dumps(facts), text=True)
    server.stop()
    sys.exit(done.returncode)


main()
