package main

import (
	"context"
	"strings"
)

// commands are for the reader to run in another terminal. What the owner changes on one node acts on all of them within
// a second. One of them is a line over 120, because the reader copies it.
const commands = `
The owner's commands, which any node takes:
  export AWS_ACCESS_KEY_ID={{ownerAccess}} AWS_SECRET_ACCESS_KEY={{ownerSecret}} AWS_DEFAULT_REGION={{region}} AWS_DEFAULT_OUTPUT=json
  gw() { aws apigateway --endpoint-url {{a.control}} "$@"; }
  PLAN={{plan}} KEYID={{key}}
  gw update-usage-plan --usage-plan-id $PLAN --patch-operations op=replace,path=/quota/limit,value=20
  gw update-usage-plan --usage-plan-id $PLAN --patch-operations op=replace,path=/throttle/rateLimit,value=1
  gw update-api-key --api-key $KEYID --patch-operations op=replace,path=/enabled,value=false
  gw update-api-key --api-key $KEYID --patch-operations op=replace,path=/enabled,value=true
The client's, for nodes b and c, with a signature from curl (7.75 or later):
  SIGN=(--aws-sigv4 aws:amz:{{region}}:execute-api --user {{access}}:{{secret}})
  VALUE={{value}}
  curl -i "${SIGN[@]}" -H "x-api-key: $VALUE" {{b.api}}/Prod/loyalty/{{customer}}
  curl -i -H "x-api-key: $VALUE" {{c.api}}/Prod/usage
Ctrl-C ends the nodes.
`

// hold prints the commands and waits until ctx ends. The nodes are new, and the quota is whole.
func (f *fleet) hold(ctx context.Context) {
	f.print("%s", strings.NewReplacer(
		"{{access}}", accessKey, "{{secret}}", secretKey, "{{region}}", region,
		"{{ownerAccess}}", ownerAccessKey, "{{ownerSecret}}", ownerSecretKey,
		"{{plan}}", f.owner.plan, "{{key}}", f.owner.key, "{{value}}", f.owner.value, "{{customer}}", customer,
		"{{a.control}}", f.nodes[0].control, "{{b.api}}", f.nodes[1].api, "{{c.api}}", f.nodes[2].api,
	).Replace(commands))
	<-ctx.Done()
}
