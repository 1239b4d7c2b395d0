package redislimit

import "context"

// NewOver makes a limiter over another way to the server than a client. The configuration must be valid.
func NewOver(c Config, call func(ctx context.Context, keys []any, input []byte) (string, error), cluster bool) *Limiter {
	return newLimiter(c, call, cluster)
}
