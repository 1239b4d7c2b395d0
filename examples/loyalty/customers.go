package main

import (
	"encoding/json"
	"net/http"
)

// points are the points of each customer.
var points = map[string]int{
	"a900ae6c-99b9-4112-9677-b66fe79d792c": 900,
	"5c2a1f0e-3f0b-4a57-9d0c-7f0d1b9f2a11": 12_750,
	"0f4c8f5e-6a63-4b19-8a5e-2f6f3b7f9c20": 31_400,
	"d1b6f2a4-90c7-4d0e-b7a3-6c5e4f3a2b10": 58_000,
}

// goal is the number of points for the highest level.
const goal = 50_000

func level(points int) string {
	switch {
	case points >= goal:
		return "platinum"
	case points >= 25_000:
		return "gold"
	case points >= 10_000:
		return "silver"
	default:
		return "bronze"
	}
}

// loyalty answers GET /loyalty/{customerId}.
func loyalty(w http.ResponseWriter, r *http.Request) {
	n, found := points[r.PathValue("customerId")]
	if !found {
		reply(w, http.StatusNotFound, map[string]string{"message": "Customer not found"})
		return
	}
	reply(w, http.StatusOK, struct {
		Points          int    `json:"points"`
		Level           string `json:"level"`
		RemainingPoints int    `json:"remainingPoints"`
	}{n, level(n), max(goal-n, 0)})
}

func reply(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
