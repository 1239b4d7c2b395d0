package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
)

// A Format is a form in which keys, plans, memberships and usage leave API Gateway, and come back to it.
type Format string

// The formats. Texts are UTF-8, and JSON where nothing else is said. YAML is not read: convert it first.
const (
	// FormatCSV is API Gateway's key file, which ImportApiKeys reads. It has no ids: each key that is new gets one, under
	// which get-usage lists nothing. To take over ids and what is left of quotas, import FormatKeys with it or instead.
	FormatCSV Format = "csv"

	// FormatKeys is what `aws apigateway get-api-keys --include-values` prints. Keys keep their ids and values.
	FormatKeys Format = "get-api-keys"

	// FormatPlans is what `aws apigateway get-usage-plans` prints, or CreateUsagePlan bodies; see [usageplan.Load].
	FormatPlans Format = "get-usage-plans"

	// FormatPlanKeys is what `aws apigateway get-usage-plan-keys` prints: the members of one plan.
	FormatPlanKeys Format = "get-usage-plan-keys"

	// FormatUsage is what `aws apigateway get-usage` prints, or a list of such pages. What remained on its last day, or
	// remains today, is what remains of the current period. What was used is not taken over, not even in that period: the
	// client gets a lower limit, of which nothing is used. With more than one page, call get-usage with --no-paginate for
	// each: otherwise aws-cli prints the first one as if it were all.
	FormatUsage Format = "get-usage"

	// FormatCloudFormation is a template. Its usage plans are taken, under their logical ids.
	FormatCloudFormation Format = "cloudformation"

	// FormatTerraform is a state file of version 4, or what `terraform show -json` prints. Its keys, plans and
	// memberships are taken.
	FormatTerraform Format = "terraform"
)

// A Source is a document to import.
type Source struct {
	Name   string // what the report calls it, such as the name of its file; the format if it is empty
	Format Format
	Text   io.Reader // at most 64 MiB

	// Plan is the id of the plan whose members FormatPlanKeys lists. The document does not have it.
	Plan string

	// Refs are what {"Ref": …} stands for in FormatCloudFormation, by the name of the parameter or resource. A parameter
	// that is not in it has its default.
	Refs map[string]string
}

// A Report says what an import or an export has done. Each line begins with the place it is about.
type Report struct {
	Lines    []string // what was done
	Warnings []string // what was left out, and why
}

// A Transfer moves keys, plans, memberships and what is left of quotas over from API Gateway, and back. No key has to
// be reissued. All fields but FailOnWarnings are required.
type Transfer struct {
	Keys  *apikey.Verifier
	Plans *usageplan.Meter

	// FailOnWarnings makes Import and Export fail, and change or write nothing, if anything would be left out.
	// Import can still fail between its changes if somebody else changes keys or plans meanwhile, or if a store fails.
	FailOnWarnings bool
}

// Import reads all sources and then adds what they have. What is there already is replaced: a plan by id, a key by id
// and value. Tags stay if the source has none, because listings have none. A membership that is there stays as it is.
// What has a mistake is left out with a warning. A source that cannot be read at all, or that is one page of several,
// is [ErrInvalid], and nothing has changed.
//
// The keys of all sources are one change, of at most 10 000 keys: more are [apikey.ErrInvalid]. A row of FormatCSV is
// about the key with its value, which may be a new one of another source. Its name, description and state then count,
// and its plans add to those that other sources name. If several files have a row for one key, the last file counts.
//
// The plans come first, then the keys, then the memberships, and the remaining units come last. Plans and memberships
// are one change for each 10 000 of them. A plan that Plans cannot have, such as one with a quota if it has no ledger,
// fails the import with [usageplan.ErrInvalid], and nothing has changed.
//
// If Import fails in between, the report says what was done. To repeat it completes it, and does nothing twice: what
// remained is set once for each day of a listing, whatever has been used since.
//
// Changes of keys, plans and memberships have the origin that ctx carries, and the adjustments of quotas its actor; see
// [journal.NewContext].
//
// Who moves over should stop the changes at API Gateway first, or repeat the import.
func (t Transfer) Import(ctx context.Context, sources ...Source) (Report, error) {
	if t.Keys == nil || t.Plans == nil {
		return Report{}, &Error{Err: fmt.Errorf("%w: Transfer.Keys and Transfer.Plans are required", ErrNotConfigured)}
	}
	m := newMove(t)
	for _, s := range sources {
		s.Name = cmp.Or(s.Name, string(s.Format))
		if err := m.read(s); err != nil {
			return m.report, &Error{Err: ErrInvalid, Message: fmt.Sprintf("%s: %v", s.Name, err)}
		}
	}
	err := m.check(ctx)
	if err == nil {
		err = m.apply(ctx)
	}
	return m.report, err
}

// maxDocument is how many bytes of a document are read.
const maxDocument = 64 << 20

// readDocument reads a document of at most maxDocument bytes, without its byte order mark.
func readDocument(r io.Reader) ([]byte, error) {
	if r == nil {
		return nil, errors.New("Source.Text is required")
	}
	text, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err == nil && len(text) > maxDocument {
		err = fmt.Errorf("more than %d bytes", maxDocument)
	}
	return text, err
}

// read reads one source into m.
func (m *move) read(s Source) error {
	if s.Format == FormatCSV { // package apikey reads it
		text, err := readDocument(s.Text)
		if err != nil {
			return err
		}
		return m.readCSV(s.Name, text)
	}
	read, found := readers[s.Format]
	if !found {
		return fmt.Errorf("there is no format %q", clip(string(s.Format)))
	}
	text, err := readDocument(s.Text)
	if err != nil {
		return err
	}
	doc, err := parseJSON(trimMark(text))
	if err != nil {
		return err
	}
	return read(m, s, doc)
}

// readers read a document into a move. They return an error for what concerns the document as a whole.
var readers = map[Format]func(*move, Source, node) error{
	FormatKeys: (*move).readKeys, FormatPlans: (*move).readPlans, FormatPlanKeys: (*move).readPlanKeys,
	FormatUsage: (*move).readUsage, FormatCloudFormation: (*move).readTemplate, FormatTerraform: (*move).readState,
}
