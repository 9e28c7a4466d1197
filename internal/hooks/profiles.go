package hooks

// rules are what a webhook's profile asks for beside its wire format.
type rules struct {
	// countsInTotal: failures are counted since activation; a success does not reset them (seed 001: "fails 3000 times").
	countsInTotal bool
	// https: plain http is refused even where the installation allows it (seeds 000 and 003).
	https bool
	// makesSecret: a webhook made without a secret gets one.
	makesSecret bool
}

func rulesOf(profile string) rules {
	switch profile {
	case "phrase":
		return rules{countsInTotal: true}
	case "im4", "ewarehousing":
		return rules{https: true}
	case "up42":
		return rules{}
	default: // standard, languageweaver, svix
		return rules{makesSecret: true}
	}
}
