package admin

import (
	"slices"
	"strings"

	"github.com/tallygate/tallygate/usageplan"
)

// splitStage splits "api:stage", the form in which patch operations and Import name a stage.
func splitStage(text string) (usageplan.Stage, bool) {
	api, name, found := strings.Cut(text, ":")
	return usageplan.Stage{API: api, Name: name}, found && strings.TrimSpace(api) != "" && strings.TrimSpace(name) != ""
}

// stage returns the index of the plan's stage, or -1.
func (p *planPatch) stage(s usageplan.Stage) int {
	return slices.IndexFunc(p.Stages, func(of usageplan.Stage) bool { return of.API == s.API && of.Name == s.Name })
}

func (p *planPatch) addStage(value string) error {
	s, ok := splitStage(value)
	switch {
	case !ok:
		return badRequest("Invalid API Stage specified")
	case p.exists != nil && !p.exists(s.API, s.Name):
		return notFound("API Stage not found: %s", clip(value))
	case p.stage(s) >= 0:
		return conflict("API Stage %s is already associated with usage plan %s", clip(value), p.ID)
	}
	p.Stages = append(p.Stages, s)
	return nil
}

func (p *planPatch) removeStage(value string) error {
	s, ok := splitStage(value)
	if !ok {
		return badRequest("Invalid API Stage specified")
	}
	i := p.stage(s)
	if i < 0 {
		return p.noStage(s)
	}
	p.Stages = slices.Delete(p.Stages, i, i+1)
	return nil
}

// noStage is API Gateway's error for a stage that the plan does not have.
func (p *planPatch) noStage(s usageplan.Stage) error {
	return notFound("Invalid API Stage {api: %s, stage: %s} specified for usageplan %s", clip(s.API), clip(s.Name), p.ID)
}

// patchStage applies an operation on the method throttles of a stage. path is what follows "/apiStages/":
// "api:stage/throttle", or that with a method, "api:stage/throttle/pets/GET", or with one half of the method's limit,
// "api:stage/throttle/pets/GET/rateLimit".
func (p *planPatch) patchStage(o operation, path string) error {
	name, rest, _ := strings.Cut(path, "/")
	rest, isThrottle := strings.CutPrefix(rest, "throttle")
	if !isThrottle || rest != "" && rest[0] != '/' {
		return o.invalidPath(planPaths[o.op]...)
	}
	s, ok := splitStage(pointer.Replace(name))
	i := p.stage(s)
	switch {
	case !ok:
		return badRequest("Invalid API Stage specified")
	case i < 0:
		return p.noStage(s)
	}
	return patchMethods(&p.Stages[i], o, rest)
}
