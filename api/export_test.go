package api

// For the tests.
var BoundBodies = boundBodies

// BodyWait is for the tests.
const BodyWait = bodyWait
