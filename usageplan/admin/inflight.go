package admin

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/tallygate/tallygate/usageplan"
)

// API Gateway does not bound what runs at once, so this part of a plan is our own: the field "inFlight" of
// CreateUsagePlan and of answers, and the paths /inFlight/client, /inFlight/total and /inFlight of UpdateUsagePlan. aws-cli
// sends such a path as it is, and SDKs skip the field in answers. The lists of paths in errors stay API Gateway's.
const inFlightPath = "/inFlight"

// maxInFlight is the highest bound of a client and of a plan; see [usageplan.InFlight].
const maxInFlight = math.MaxUint16

type inFlightJSON struct {
	Client int `json:"client,omitempty"`
	Total  int `json:"total,omitempty"`
}

// readInFlight reads the field of CreateUsagePlan. Null is no bound.
func readInFlight(n node) (f usageplan.InFlight, err error) {
	n.known("client", "total")
	if f.Client, err = checkInFlight(n.field("client").whole()); err == nil {
		f.Total, err = checkInFlight(n.field("total").whole())
	}
	return f, err
}

// patchInFlight changes how many requests may run at once. A value of 0 is no bound.
func (p *planPatch) patchInFlight(o operation) (err error) {
	switch {
	case o.is(inFlightPath, "remove"):
		p.InFlight = usageplan.InFlight{}
	case o.is(inFlightPath+"/client", "add", "replace"):
		p.InFlight.Client, err = o.inFlight()
	case o.is(inFlightPath+"/total", "add", "replace"):
		p.InFlight.Total, err = o.inFlight()
	default:
		err = o.invalidPath(planPaths[o.op]...)
	}
	return err
}

func (o operation) inFlight() (int, error) {
	n, err := o.whole("Usage Plan in-flight limit")
	if err != nil {
		return 0, err
	}
	return checkInFlight(n)
}

func checkInFlight(n int64) (int, error) {
	if n < 0 || n > maxInFlight {
		return 0, badRequest("Usage Plan in-flight limit must be between 0 and %d", maxInFlight)
	}
	return int(n), nil
}

// isInFlight reports whether an operation is about what runs at once.
func isInFlight(o operation) bool {
	return o.path == inFlightPath || strings.HasPrefix(o.path, inFlightPath+"/")
}

// inFlight returns the field of a form. An empty one is no bound.
func (v *visit) inFlight(field string) (int, error) {
	if v.form.get(field) == "" {
		return 0, nil
	}
	return operation{value: v.form.get(field)}.inFlight()
}

// planInFlight returns what the form of a new plan says, as CreateUsagePlan takes it.
func (v *visit) planInFlight() (f inFlightJSON, err error) {
	if f.Client, err = v.inFlight("inflight"); err == nil {
		f.Total, err = v.inFlight("inflighttotal")
	}
	return f, err
}

// inFlightOps are the operations by which the form of a plan changes what may run at once.
func (v *visit) inFlightOps() []operationJSON {
	return []operationJSON{
		{"replace", inFlightPath + "/client", cmp.Or(v.form.get("inflight"), "0")},
		{"replace", inFlightPath + "/total", cmp.Or(v.form.get("inflighttotal"), "0")},
	}
}

// writeInFlight writes a bound as a form takes it: none if there is no bound.
func writeInFlight(n int, none string) string {
	if n == 0 {
		return none
	}
	return strconv.Itoa(n)
}
