package window

import (
	"fmt"
	"net/http"

	"github.com/tallygate/tallygate/ratelimit"
)

var (
	errNotMade     = fmt.Errorf("%w: the limiter was not made by window.New", ratelimit.ErrNotConfigured)
	errRuleNotMade = fmt.Errorf("%w: the rule was not made by window.NewRateRule", ratelimit.ErrNotConfigured)
	errNoKeyFunc   = fmt.Errorf("%w: Config.Key is nil, so no request can be charged", ratelimit.ErrNotConfigured)
)

// refuse answers by the ErrorHandler, or by the error itself if the handler is nil.
func refuse(w http.ResponseWriter, r *http.Request, err error, handler func(http.ResponseWriter, *http.Request, error)) {
	e := err.(*ratelimit.Error)
	e.SetHeader(w.Header())
	if handler != nil {
		handler(w, r, e)
		return
	}
	e.ServeHTTP(w, r)
}
