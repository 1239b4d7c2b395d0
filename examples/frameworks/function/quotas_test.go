package function_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

const quotaTable = "loyalty-quotas"

// table makes the table of template.yaml in a server with DynamoDB's protocol, and returns what tells a function where
// it is.
func table(t *testing.T) (env []string) {
	t.Helper()
	if _, err := exec.LookPath("dynalite"); err != nil && os.Getenv("CI") == "" {
		t.Skip("dynalite is not installed")
	}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	server := exec.Command("dynalite", "--host", "127.0.0.1", "--port", port, "--createTableMs", "0")
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	client := dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String("http://" + address),
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	})
	require.Eventually(t, func() bool {
		_, err := client.ListTables(t.Context(), &dynamodb.ListTablesInput{})
		return err == nil
	}, time.Minute, 20*time.Millisecond, "dynalite does not answer")
	declared := readTemplate(t).Resources["QuotaTable"].Properties
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String(quotaTable), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: declared.AttributeDefinitions, KeySchema: declared.KeySchema,
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		out, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(quotaTable)})
		return err == nil && out.Table.TableStatus == types.TableStatusActive
	}, time.Minute, 20*time.Millisecond)
	return []string{
		"TABLE=" + quotaTable, "AWS_ENDPOINT_URL_DYNAMODB=http://" + address,
		"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey,
	}
}

// freeAddress returns an address on which nobody listens. It has a random port below those that a system chooses itself,
// for connections and for listeners. So no program is given it before the server has it.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))
		if l, err := net.Listen("tcp", address); err == nil {
			require.NoError(t, l.Close())
			return address
		}
	}
	require.Fail(t, "no port is free")
	return ""
}

// Three environments, called at once, admit the quota of ten together and not each. An environment that starts later
// knows what was used.
func TestQuotaHoldsForAllEnvironments(t *testing.T) {
	_, jwks := served(t)
	env := append(table(t), "ISSUER="+pool, "CLIENT="+appClient, jwks)
	environment := func() *process { return start(t, build(t, "loyalty"), env...) }
	call := func(f *process) (outcome, error) {
		s := sources[0]
		r := s.request(t, "GET", customer, nil)
		r.Header.Set("X-Api-Key", apiKey)
		require.NoError(t, signer(t).Sign(r))
		return f.invoke(t.Context(), s.of(t, r))
	}
	three, admitted, exhausted := []*process{environment(), environment(), environment()}, 0, 0
	for round := 0; exhausted < len(three); round++ {
		require.Less(t, round, 600, "the quota does not end")
		var (
			wait     sync.WaitGroup
			outcomes [3]outcome
			errs     [3]error
		)
		for i, f := range three {
			wait.Go(func() { outcomes[i], errs[i] = call(f) })
		}
		wait.Wait()
		exhausted = 0
		for i, got := range outcomes {
			require.NoError(t, errs[i])
			switch a := answerOf(t, got); {
			case a.StatusCode == 200:
				admitted++
			case a.header("X-Amzn-Errortype") == "LimitExceededException":
				exhausted++
			default: // the throttle, or the table has not answered in time on a busy machine
				require.Contains(t, []int{429, 503}, a.StatusCode, a.Body)
			}
		}
		time.Sleep(100 * time.Millisecond) // the throttle admits one request a second
	}
	require.Equal(t, 10, admitted)

	require.NoError(t, three[0].Process.Kill())
	got, err := call(environment())
	require.NoError(t, err)
	require.Equal(t, "LimitExceededException", answerOf(t, got).header("X-Amzn-Errortype"))
}

// A function whose table is not there ends in its init phase: with quotas in memory it would admit too much.
func TestFunctionWithoutItsTableEnds(t *testing.T) {
	_, jwks := served(t)
	env := append(table(t), "ISSUER="+pool, "CLIENT="+appClient, jwks, "TABLE=missing")
	f := start(t, build(t, "loyalty"), env...)
	<-f.ended
	require.Equal(t, 1, f.ProcessState.ExitCode())
	require.Contains(t, f.log.String(), `there is no table "missing"`)
}
