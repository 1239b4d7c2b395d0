package function_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// process is a function that runs: a program with aws-lambda-go and a Runtime API of its own.
type process struct {
	*exec.Cmd
	api   *runtimeAPI
	log   *log // what it has written
	ended chan struct{}
}

// log is a text that one goroutine writes and others read.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs a program as a function. It is killed when the test ends.
func start(t *testing.T, program string, env ...string) *process {
	t.Helper()
	f := &process{exec.Command(program), newRuntimeAPI(t), new(log), make(chan struct{})}
	f.Stdout, f.Stderr = f.log, f.log
	f.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(f.api.server.URL, "http://"),
		"AWS_REGION=eu-west-1", "AWS_LAMBDA_FUNCTION_NAME=loyalty")
	f.Env = append(f.Env, env...)
	require.NoError(t, f.Start())
	go func() {
		_ = f.Wait()
		close(f.ended)
	}()
	t.Cleanup(func() {
		_ = f.Process.Kill()
		<-f.ended
		if t.Failed() {
			t.Logf("the function has written:\n%s", f.log)
		}
	})
	return f
}

// built are the programs that are built already.
var built struct {
	sync.Mutex
	dir string
}

// build builds a program of this folder as it would be deployed, and returns its path.
func build(t *testing.T, name string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	path := filepath.Join(built.dir, name, "bootstrap") // the name that the runtime provided.al2023 starts
	if _, err := os.Stat(path); err == nil {
		return path
	}
	out, err := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", path, "./"+name).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// TestMain is also a function: started with a FUNCTION, the test program serves events by that handler. So the tests
// have handlers that panic, stream and wait, in a real process.
func TestMain(m *testing.M) {
	if name := os.Getenv("FUNCTION"); name != "" {
		functions[name]()
		return
	}
	dir, err := os.MkdirTemp("", "function-")
	if err != nil {
		panic(err)
	}
	built.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// serve starts one of functions.
func serve(t *testing.T, name string, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return start(t, self, append(env, "FUNCTION="+name)...)
}
