// Signs the cases with @smithy/signature-v4, compares its signatures with ours, and prints the requests as they would be
// sent.
const { createHash, createHmac } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { SignatureV4 } = require("@smithy/signature-v4");

class Sha256 {
  constructor(secret) {
    this.hash = secret ? createHmac("sha256", secret) : createHash("sha256");
  }
  update(data) {
    this.hash.update(data);
  }
  async digest() {
    return new Uint8Array(this.hash.digest());
  }
}

const HOST = "api.example.com";

// escape escapes as RFC 3986 says, like the signer.
const escape = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());

const parameters = (pairs) => {
  const query = {};
  for (const [name, value] of pairs) {
    query[name] = name in query ? [].concat(query[name], value) : value;
  }
  return query;
};

const wire = (query) =>
  Object.entries(query)
    .flatMap(([name, values]) => [].concat(values).map((value) => escape(name) + "=" + escape(value)))
    .join("&");

function emit(number, test, request, headers) {
  const query = wire(request.query);
  console.log(
    JSON.stringify({
      case: number,
      method: request.method,
      target: request.path + (query ? "?" + query : ""),
      headers,
      body: request.body,
      token: test.token,
      s3: test.s3,
      date: test.date,
    }),
  );
}

async function compare(number, test) {
  const signer = new SignatureV4({
    service: test.s3 ? "s3" : "execute-api",
    region: "eu-west-1",
    credentials: {
      accessKeyId: "AKIDEXAMPLE",
      secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
      sessionToken: test.token || undefined,
    },
    sha256: Sha256,
    uriEscapePath: !test.s3,
    applyChecksum: false,
  });
  const date = test.date.replace(/(....)(..)(..)T(..)(..)(..)Z/, "$1-$2-$3T$4:$5:$6Z");
  const request = (method, headers, body) => ({
    method,
    protocol: "https:",
    hostname: HOST,
    path: test.path,
    query: parameters(test.params),
    headers: { host: HOST, ...headers },
    body,
  });

  const signed = await signer.sign(request(test.method, test.headers, test.body), { signingDate: new Date(date) });
  if (signed.headers.authorization !== test.authorization) {
    throw new Error(`${signed.headers.authorization}, ours is ${test.authorization}`);
  }
  emit(number, test, signed, signed.headers);

  // A presigner for S3 sets a header that says that the payload is unsigned. The signer moves it into the query.
  const headers = test.s3 ? { "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD" } : {};
  const presigned = await signer.presign(request("GET", headers, ""), { expiresIn: 60, signingDate: new Date(date) });
  if (!test.s3 && presigned.query["X-Amz-Signature"] !== test.presigned) {
    throw new Error(`presigned ${presigned.query["X-Amz-Signature"]}, ours is ${test.presigned}`);
  }
  emit(number, test, presigned, {});
}

(async () => {
  for (const [number, test] of JSON.parse(readFileSync(process.argv[2])).entries()) {
    await compare(number, test).catch((error) => {
      console.error(`@smithy/signature-v4: case ${number}: ${error.message}: ${JSON.stringify(test)}`);
      process.exit(1);
    });
  }
})();
