package activities

// Every is every, for tests.
var Every = every

// BeatEvery is the bound that tests measure against.
const BeatEvery = beatEvery
