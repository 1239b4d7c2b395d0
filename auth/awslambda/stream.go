package awslambda

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
)

const (
	// streamType marks an answer that begins with its status and header (Lambda, "Response streaming for function
	// URLs").
	streamType = "application/vnd.awslambda.http-integration-response"

	wholeType = "application/json"

	// streamBuffer is how much a handler can write before something is sent, unless it flushes. net/http has as much
	// for a connection.
	streamBuffer = 4 << 10
)

// errUnfinished is the error of a handler that ends its goroutine by runtime.Goexit, as a test's FailNow does.
var errUnfinished = errors.New("awslambda: the handler did not return")

// Response is an answer that the runtime of Lambda sends while the handler still writes it. It has no exported field:
// the runtime takes an [io.Reader] for a stream only if its JSON is {}. One goroutine may read it, and any may close
// it.
//
// Read returns the answer in the form that the runtime sends. It waits for the handler, and the handler waits for Read:
// a Write returns when its bytes have been read, except for up to 4 KiB that stay in a buffer. If the handler panics or
// breaks off, or the invocation's deadline passes, Read returns that error, which the runtime sends as a trailer.
type Response struct {
	kind   string         // the media type
	ready  []byte         // what is complete: the header, or the whole answer
	rest   *io.PipeReader // what the handler still writes; nil if ready is the whole answer
	cancel context.CancelFunc
}

// ContentType returns the media type by which Lambda knows the form of the answer.
func (r *Response) ContentType() string { return r.kind }

// Read implements [io.Reader].
func (r *Response) Read(p []byte) (int, error) {
	if len(r.ready) > 0 {
		n := copy(p, r.ready)
		r.ready = r.ready[n:]
		return n, nil
	}
	if r.rest == nil {
		return 0, io.EOF
	}
	return r.rest.Read(p)
}

// Close ends the answer and returns nil. If the handler still writes, its context ends and its next Write fails. The
// runtime calls Close after the last Read.
func (r *Response) Close() error {
	if r.rest != nil {
		r.cancel()
		return r.rest.Close()
	}
	return nil
}

// Stream serves the request in an event as [Function.Invoke] does, but returns as soon as the header of the answer can
// change no more: when the handler has written more than 4 KiB, has flushed, or has returned. Until then an error is a
// function error, as with Invoke, or that of ctx.
//
// Function URLs with the invoke mode RESPONSE_STREAM and integrations of REST APIs with the transfer mode STREAM read
// such an answer. An event does not tell the mode, so a function that is not set up for streams must use Invoke. HTTP
// APIs and ALBs cannot stream. They get the answer that Invoke returns, as a whole.
func (f *Function) Stream(ctx context.Context, event json.RawMessage) (*Response, error) {
	if f == nil || f.handler == nil {
		return nil, ErrNotConfigured
	}
	p, err := parseServed(event)
	if err != nil {
		return nil, err
	}
	if p.Kind != FunctionURL && p.Kind != REST {
		answer, err := f.answer(ctx, p)
		if err != nil {
			return nil, err
		}
		return &Response{kind: wholeType, ready: answer}, nil
	}
	return f.stream(ctx, p)
}

// stream starts the handler and waits until the header is settled. The handler has its own goroutine, because the
// runtime reads the answer in this one.
func (f *Function) stream(ctx context.Context, p *payload) (*Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	reader, writer := io.Pipe()
	w := &streamed{head: newHead(p), pipe: writer, settled: make(chan struct{}), context: ctx}
	go w.run(f, p, cancel)
	select {
	case <-w.settled:
	case <-ctx.Done():
		select {
		case <-w.settled: // the handler has ended, which cancels the context too
		default:
			_ = reader.Close() // so that the handler does not wait for a reader
			cancel()
			return nil, context.Cause(ctx)
		}
	}
	switch {
	case w.err != nil:
		return nil, w.err
	case w.whole:
		return &Response{kind: streamType, ready: w.prelude}, nil
	}
	return &Response{streamType, w.prelude, reader, cancel}, nil
}

// streamed is the [http.ResponseWriter] of a stream. Only the handler's goroutine uses it, until settled is closed;
// then the goroutine of [Function.stream] reads prelude, whole and err.
type streamed struct {
	head
	pipe    *io.PipeWriter
	buffer  []byte // written and not sent
	context context.Context

	settled chan struct{}
	started bool   // settled is closed
	prelude []byte // the header, and the body if it is whole
	whole   bool
	err     error // the handler failed before the header was settled
}

// run calls the handler and ends the stream. The context ends after the stream, so that a stream that is complete does
// not end with an error of the context.
func (w *streamed) run(f *Function, p *payload, cancel context.CancelFunc) {
	err := errUnfinished
	defer cancel()
	defer func() { w.finish(err) }()
	err = f.serve(w.context, p, w)
}

// finish sends what is left, or the error.
func (w *streamed) finish(err error) {
	if err == nil {
		err = w.end()
	}
	if w.started {
		if err == nil {
			err = w.flush()
		}
		if panicked, ok := err.(*PanicError); ok { //nolint:errorlint // serve returns it as it is
			panicked.trailer = true
		}
		_ = w.pipe.CloseWithError(err) // nil stands for the end of the stream
		return
	}
	if w.err = err; err == nil {
		w.whole = true
		w.prelude = append(w.makePrelude(w.buffer), w.buffer...)
	}
	close(w.settled)
}

// Write implements [http.ResponseWriter].
func (w *streamed) Write(p []byte) (int, error) {
	keep, err := w.count(len(p))
	switch {
	case err != nil:
		return 0, err
	case !keep:
		w.drop(string(p[:min(len(p), sniffed)]))
		return len(p), nil
	case len(w.buffer)+len(p) <= streamBuffer:
		w.buffer = append(w.buffer, p...)
		return len(p), nil
	}
	w.start(p)
	if err := w.flush(); err != nil {
		return 0, err
	}
	if len(p) < streamBuffer { // a small part is collected with the next ones; a large one is not copied
		w.buffer = append(w.buffer, p...)
		return len(p), nil
	}
	return w.pipe.Write(p)
}

// Flush implements [http.Flusher].
func (w *streamed) Flush() { _ = w.FlushError() }

// FlushError sends what the handler has written. [http.ResponseController] calls it. An error says that the answer is
// not read any more.
func (w *streamed) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.start(nil)
	return w.flush()
}

// start settles the header. next are the bytes that follow those in the buffer. When the invocation's deadline passes,
// the stream ends with that error, even if the handler goes on.
func (w *streamed) start(next []byte) {
	if w.started {
		return
	}
	first := w.buffer
	if len(first) < sniffed { // the type depends on what follows too
		first = append(first[:len(first):len(first)], next[:min(len(next), sniffed)]...)
	}
	w.started, w.prelude = true, w.makePrelude(first)
	context.AfterFunc(w.context, func() { _ = w.pipe.CloseWithError(context.Cause(w.context)) })
	close(w.settled)
}

// flush sends the buffer, and returns when it was read.
func (w *streamed) flush() error {
	if len(w.buffer) == 0 {
		return nil
	}
	_, err := w.pipe.Write(w.buffer)
	w.buffer = w.buffer[:0]
	return err
}

// makePrelude returns the status and the header in the form of format 2.0, and the eight zero bytes that end it. REST
// APIs read the same form. first are the first bytes of the body.
func (w *streamed) makePrelude(first []byte) []byte {
	w.sniff(first)
	out := make([]byte, 0, 512+len(w.buffer))
	out = strconv.AppendInt(append(out, `{"statusCode":`...), int64(w.status), 10)
	h := w.final()
	out = appendCookies(appendTexts(out, h, "Set-Cookie"), h["Set-Cookie"])
	return append(out, "}\x00\x00\x00\x00\x00\x00\x00\x00"...)
}
