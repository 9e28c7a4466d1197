package config

import (
	"fmt"
	"os"
	"slices"

	"github.com/alecthomas/kong"
)

// IgnoreEmptyVariables makes a parser treat an empty variable as unset. Without it, kong refuses "" for every number
// and duration, and "" is what docker-compose and Helm pass for settings that the user left out.
func IgnoreEmptyVariables() kong.Option {
	return kong.PostBuild(func(k *kong.Kong) error {
		err := kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
			if flag, ok := node.(*kong.Flag); ok {
				flag.Envs = slices.DeleteFunc(flag.Envs, isSetToNothing)
			}
			return next(nil)
		})
		if err != nil {
			return fmt.Errorf("look for empty variables: %w", err)
		}
		return nil
	})
}

func isSetToNothing(variable string) bool {
	value, set := os.LookupEnv(variable)
	return set && value == ""
}
