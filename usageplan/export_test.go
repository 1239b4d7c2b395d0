package usageplan

// ValidatePlan returns all mistakes in a plan.
var ValidatePlan = Plan.validate
