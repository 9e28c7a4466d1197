package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// CompletionCommand is `posthorn completion`. It prints the script that makes a shell complete posthorn's command
// lines.
type CompletionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help has the examples.
func (*CompletionCommand) Help() string {
	return `Examples:
  source <(posthorn completion bash)
  posthorn completion zsh >"${fpath[1]}/_posthorn"
  posthorn completion fish >~/.config/fish/completions/posthorn.fish`
}

// completionScripts ask posthorn itself for the possible words.
var completionScripts = map[string]string{
	"bash": `_posthorn() {
	local IFS=$'\n'
	COMPREPLY=($(posthorn complete -- "${COMP_WORDS[@]:1:COMP_CWORD}"))
}
complete -o default -F _posthorn posthorn
`,
	"zsh": `#compdef posthorn
_posthorn() {
	local -a words_here
	words_here=("${(@f)$(posthorn complete -- "${(@)words[2,CURRENT]}")}")
	[[ -n $words_here ]] && compadd -a words_here || _files
}
compdef _posthorn posthorn
`,
	"fish": `complete -c posthorn -a '(posthorn complete -- (commandline -opc)[2..-1] (commandline -ct))'
`,
}

// Run prints the script.
func (c *CompletionCommand) Run(env Environment) error {
	_, err := fmt.Fprint(env.Out, completionScripts[c.Shell])
	return err
}

// CompleteCommand is `posthorn complete`. The completion scripts call it; it prints the possible values of the last
// word.
type CompleteCommand struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints one word a line.
func (c *CompleteCommand) Run(k *kong.Context, env Environment) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, word := range candidates(k.Model.Node, words) {
		if _, err := fmt.Fprintln(env.Out, word); err != nil {
			return err
		}
	}
	return nil
}

// candidates returns the possible values of the last word: commands, flags, or the values of a flag.
func candidates(node *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	var waiting *kong.Flag // for its value
	for _, word := range words[:len(words)-1] {
		switch {
		case waiting != nil:
			waiting = nil
		case strings.HasPrefix(word, "-"):
			if flag := flagOf(node, word); flag != nil && !flag.IsBool() && !strings.Contains(word, "=") {
				waiting = flag
			}
		default:
			for _, child := range node.Children {
				if child.Name == word {
					node = child
				}
			}
		}
	}
	var found []string
	switch {
	case waiting != nil:
		found = waiting.EnumSlice()
	case strings.HasPrefix(last, "-"):
		for _, group := range node.AllFlags(true) {
			for _, flag := range group {
				found = append(found, "--"+flag.Name)
			}
		}
	case len(node.Children) > 0:
		for _, child := range node.Children {
			if !child.Hidden {
				found = append(found, child.Name)
			}
		}
	case len(node.Positional) == 1:
		found = node.Positional[0].EnumSlice()
	}
	found = slices.DeleteFunc(found, func(word string) bool { return word == "" || !strings.HasPrefix(word, last) })
	slices.Sort(found)
	return slices.Compact(found)
}

// flagOf returns the flag that a word names, nil if there is none.
func flagOf(node *kong.Node, word string) *kong.Flag {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	for _, group := range node.AllFlags(false) {
		for _, flag := range group {
			if flag.Name == name || flag.Short != 0 && string(flag.Short) == name {
				return flag
			}
		}
	}
	return nil
}
