package service

// rules are the requirements of a webhook's profile, apart from its wire format.
type rules struct {
	// countsInTotal: failures are counted since activation, and a success does not reset them (Phrase: "fails 3000
	// times").
	countsInTotal bool
	// https: plain http is refused even if the installation allows it (InMemory4 and eWarehousing Solutions).
	https bool
	// makesSecret: a webhook that is created without a secret gets a generated one.
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
