package admin

import (
	"net/http"
	"strings"

	"github.com/tallygate/tallygate/usageplan"
)

// The forms of APIs and stages. They have what `aws apigateway get-rest-apis` and get-stages are needed for before
// usage plans can be made: the ids. SDKs take every other field for absent.
type (
	apiJSON struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		KeySource string `json:"apiKeySource"`
	}
	apiStageJSON struct {
		Name    string                 `json:"stageName"`
		Methods map[string]settingJSON `json:"methodSettings"`
	}
	settingJSON struct {
		Burst int64   `json:"throttlingBurstLimit"`
		Rate  decimal `json:"throttlingRateLimit"`
	}
)

// exists reports whether a plan may open the stage. A program that declares no stages knows none to be wrong.
func (s *Server) exists(api, name string) bool {
	return len(s.config.Stages) == 0 || opens(usageplan.Plan{Stages: s.config.Stages}, usageplan.Stage{API: api, Name: name})
}

// getAPIs is GetRestApis, in the order in which the program declares the stages. The list has one page.
func (s *Server) getAPIs(*call) (result, error) {
	w := pageJSON[apiJSON]{Items: []apiJSON{}}
	seen := make(map[string]bool)
	for _, stage := range s.config.Stages {
		if !seen[stage.API] {
			seen[stage.API] = true
			w.Items = append(w.Items, writeAPI(stage.API))
		}
	}
	return result{http.StatusOK, w}, nil
}

// writeAPI returns the form of an API. The program knows no other name of it than its id.
func writeAPI(id string) apiJSON { return apiJSON{ID: id, Name: id, KeySource: "HEADER"} }

// getAPI is GetRestApi.
func (s *Server) getAPI(c *call) (result, error) {
	_, err := s.stages(c.ids[0])
	return result{http.StatusOK, writeAPI(c.ids[0])}, err
}

// stages returns the stages of an API. An API without stages is not known.
func (s *Server) stages(api string) ([]apiStageJSON, error) {
	var stages []apiStageJSON
	for _, stage := range s.config.Stages {
		if stage.API == api {
			stages = append(stages, writeStage(stage))
		}
	}
	if len(stages) == 0 {
		return nil, notFound("Invalid API identifier specified %s", clip(api)) // API Gateway puts the account before the id
	}
	return stages, nil
}

// writeStage returns the form of a stage. Its throttles of methods are those of the gateway, over all callers; those of
// a plan are shown with the plan. The key of a method is "~1pets~1{id}/GET" here, and "/pets/{id}/GET" there
// (https://docs.aws.amazon.com/apigateway/latest/api/API_Stage.html).
func writeStage(s usageplan.Stage) apiStageJSON {
	w := apiStageJSON{Name: s.Name, Methods: make(map[string]settingJSON)}
	for key, limit := range writeLimits(s.Methods) {
		resource, verb, _ := cutLast(key)
		w.Methods[strings.ReplaceAll(resource, "/", "~1")+"/"+verb] = settingJSON(limit)
	}
	return w
}

// getStages is GetStages.
func (s *Server) getStages(c *call) (result, error) {
	stages, err := s.stages(c.ids[0])
	return result{http.StatusOK, pageJSON[apiStageJSON]{Items: stages}}, err
}

// getStage is GetStage.
func (s *Server) getStage(c *call) (result, error) {
	stages, err := s.stages(c.ids[0])
	if err != nil {
		return result{}, err
	}
	for _, stage := range stages {
		if stage.Name == c.ids[1] {
			return result{http.StatusOK, stage}, nil
		}
	}
	return result{}, notFound("Invalid stage identifier specified")
}
