package admin

import (
	"maps"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/tallygate/tallygate/apikey"
	"github.com/tallygate/tallygate/usageplan"
)

// parseARN returns what an ARN names: "apikeys" or "usageplans", and the id. The region must be that of the request:
// API Gateway has a control plane for each region, and an ARN of another one is a mistake of the caller. The partition
// may be any, such as aws-cn.
func (s *Server) parseARN(r *http.Request, arn string) (kind, id string, err error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || parts[2] != "apigateway" || parts[4] != "" {
		return "", "", badRequest("Invalid ARN specified in the request: %s", clip(arn))
	}
	if s.config.Region != nil {
		if region, _ := s.config.Region(r); region != parts[3] {
			return "", "", badRequest("Invalid region specified in the ARN: %s", clip(arn))
		}
	}
	kind, id, _ = strings.Cut(strings.TrimPrefix(parts[5], "/"), "/")
	if kind != "apikeys" && kind != "usageplans" || id == "" || strings.Contains(id, "/") {
		return "", "", notFound("Invalid resource identifier specified: %s", clip(arn))
	}
	return kind, id, nil
}

// retag changes the tags of the resource that the call names. edit gets a map of its own, because the old one is shared
// with everybody who reads the key or plan. It works on the tags as they are when the change is made, so of two callers
// that add a tag each, none is lost.
func (s *Server) retag(c *call, edit func(tags map[string]string)) error {
	kind, id, err := s.parseARN(c.request, c.ids[0])
	if err != nil {
		return err
	}
	change := func(tags *map[string]string) error {
		changed := maps.Clone(shown(*tags))
		edit(changed)
		*tags = changed
		return checkTags(changed)
	}
	if kind == "apikeys" {
		_, err = s.config.Keys.Update(c, id, func(k *apikey.Key) error { return change(&k.Tags) })
	} else {
		_, err = s.config.Plans.UpdatePlan(c, id, func(p *usageplan.Plan) error { return change(&p.Tags) })
	}
	return err
}

// tagResource is TagResource. Tags of other names stay. Terraform tags a resource by this, and not by UpdateUsagePlan.
func (s *Server) tagResource(c *call) (result, error) {
	n, err := c.read("tags")
	if err != nil {
		return result{}, err
	}
	added := n.field("tags").texts()
	if n.field("tags").isNull() {
		n.field("tags").fail("is required")
	}
	if err := n.wrong(); err != nil {
		return result{}, err
	}
	return result{status: http.StatusNoContent}, s.retag(c, func(tags map[string]string) { maps.Copy(tags, added) })
}

// untagResource is UntagResource. To remove a tag that is not there is no error.
func (s *Server) untagResource(c *call) (result, error) {
	names := c.query["tagKeys"]
	if len(names) == 0 {
		return result{}, badRequest("Invalid request input: parameter tagKeys is required")
	}
	return result{status: http.StatusNoContent}, s.retag(c, func(tags map[string]string) {
		for _, name := range names {
			delete(tags, name)
		}
	})
}

// getTags is GetTags. A resource has few tags, so there is only one page.
func (s *Server) getTags(c *call) (result, error) {
	kind, id, err := s.parseARN(c.request, c.ids[0])
	if err != nil {
		return result{}, err
	}
	if kind == "apikeys" {
		k, found := s.config.Keys.Key(id)
		if !found {
			return result{}, notFound(noKey)
		}
		return result{http.StatusOK, tagsJSON{shown(k.Tags)}}, nil
	}
	p, found := s.config.Plans.Plan(id)
	if !found {
		return result{}, notFound(noPlan)
	}
	return result{http.StatusOK, tagsJSON{shown(p.Tags)}}, nil
}

// Bounds of tags (https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-tagging.html), as in
// [apikey.Key].
const (
	maxTags     = 50
	maxTagName  = 128
	maxTagValue = 256
)

// checkTags returns what is wrong with the tags of a plan or a key, or nil. Names that begin with "aws:" are AWS's own.
func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return badRequest("Invalid tags specified, can be at most %d", maxTags)
	}
	for name, value := range tags {
		switch n := utf8.RuneCountInString(name); {
		case n == 0 || n > maxTagName || strings.HasPrefix(name, "aws:"):
			return badRequest("Invalid tag key specified: '%s'", clip(name))
		case utf8.RuneCountInString(value) > maxTagValue:
			return badRequest("Invalid value specified for tag key '%s'", clip(name))
		}
	}
	return nil
}
