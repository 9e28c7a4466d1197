package observe

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const root = "../../../"

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}

// metrics are the series that Prometheus has of Posthorn, each with its labels.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	var listed []struct {
		Name, Type string
		Labels     []string
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, "deploy/metrics.json")), &listed))
	target := []string{"job", "instance"} // Prometheus adds them
	series := map[string][]string{"up": target}
	for _, m := range listed {
		labels := slices.Concat(target, m.Labels)
		switch m.Type {
		case "histogram":
			series[m.Name+"_bucket"] = append(slices.Clone(labels), "le")
			series[m.Name+"_sum"], series[m.Name+"_count"] = labels, labels
		case "summary":
			series[m.Name], series[m.Name+"_sum"], series[m.Name+"_count"] = append(slices.Clone(labels), "quantile"), labels, labels
		default:
			series[m.Name] = labels
		}
	}
	return series
}

// problem says what is wrong with a query; "" = nothing.
func problem(series map[string][]string, query string) string {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return err.Error()
	}
	var found []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			labels, ok := series[n.Name]
			if !ok {
				found = append(found, n.Name+" is not exported")
			}
			for _, m := range n.LabelMatchers {
				if ok && m.Name != "__name__" && !slices.Contains(labels, m.Name) {
					found = append(found, n.Name+" has no label "+m.Name)
				}
			}
		case *parser.AggregateExpr:
			for _, label := range n.Grouping {
				for _, name := range selected(n.Expr) {
					if !slices.Contains(series[name], label) {
						found = append(found, name+" has no label "+label)
					}
				}
			}
		}
		return nil
	})
	return strings.Join(found, "; ")
}

// selected lists the series that an expression reads.
func selected(expr parser.Expr) []string {
	var names []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if n, ok := node.(*parser.VectorSelector); ok {
			names = append(names, n.Name)
		}
		return nil
	})
	return names
}

func TestObserve_ProblemsAreFound(t *testing.T) {
	t.Parallel()
	series := metrics(t)
	for query, want := range map[string]string{
		"sum(rate(posthorn_events_accepted_total[5m]))":                     "",
		"sum by (le) (rate(posthorn_attempt_duration_seconds_bucket[5m]))":  "",
		"sum(rate(posthorn_events_accepted[5m]))":                           "posthorn_events_accepted is not exported",
		`posthorn_attempts_total{result="gone"}`:                            "posthorn_attempts_total has no label result",
		"sum by (tenant) (posthorn_posts_waiting)":                          "posthorn_posts_waiting has no label tenant",
		"rate(posthorn_attempt_duration_seconds[5m])":                       "posthorn_attempt_duration_seconds is not exported",
		"sum by (le) (rate(posthorn_attempt_duration_seconds_count[5m]))":   "posthorn_attempt_duration_seconds_count has no label le",
		`max(posthorn_webhooks{status="active"} or go_goroutines{pod="x"})`: "go_goroutines has no label pod",
	} {
		require.Equal(t, want, problem(series, query), query)
	}
	require.NotEmpty(t, problem(series, "sum("))
}

type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []struct {
		ID         int
		Title      string
		Datasource struct{ Type, UID string }
		Targets    []struct {
			Expr, URL, LegendFormat string
			Datasource              struct{ Type, UID string }
		}
		GridPos struct{ X, Y, W, H int }
	}
}

var (
	variable  = regexp.MustCompile(`\$\{?([a-z]+)\b`)
	inLegend  = regexp.MustCompile(`\{\{(\w+)\}\}`)
	labelsOf  = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	intervals = strings.NewReplacer("$__rate_interval", "5m")
)

// Each query of a dashboard reads exported metrics, by existing labels, and each variable is one of the dashboard's.
func TestObserve_DashboardsReadWhatIsExported(t *testing.T) {
	t.Parallel()
	series := metrics(t)
	files, err := filepath.Glob(filepath.Join(root, "deploy/grafana/*.json"))
	require.NoError(t, err)
	require.Len(t, files, 3)
	uids := map[string]bool{}
	for _, file := range files {
		var d dashboard
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &d))
		require.False(t, uids[d.UID] || d.UID == "" || d.Title == "", file)
		uids[d.UID] = true
		known := map[string]bool{}
		for _, v := range d.Templating.List {
			known[v.Name] = true
			if v.Type == "query" {
				parts := labelsOf.FindStringSubmatch(v.Definition)
				require.NotNil(t, parts, v.Definition)
				require.Contains(t, series[parts[1]], parts[2])
			}
		}
		for _, used := range variable.FindAllStringSubmatch(string(text), -1) {
			require.True(t, known[used[1]], "%s uses the variable %s, which it does not have", file, used[1])
		}
		ids := map[int]bool{}
		for _, p := range d.Panels {
			require.False(t, ids[p.ID], "%s: two panels %d", file, p.ID)
			ids[p.ID] = true
			require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
			for _, target := range p.Targets {
				require.Equal(t, p.Datasource, target.Datasource, p.Title)
				if target.URL != "" { // it asks the API: package api tests that
					require.Equal(t, "${api}", target.Datasource.UID, p.Title)
					continue
				}
				require.Equal(t, "${datasource}", target.Datasource.UID, p.Title)
				query := variable.ReplaceAllString(intervals.Replace(target.Expr), "x")
				require.Empty(t, problem(series, query), "%s, %s: %s", file, p.Title, target.Expr)
				for _, label := range inLegend.FindAllStringSubmatch(target.LegendFormat, -1) {
					for _, name := range selected(parse(t, query)) {
						require.Contains(t, series[name], label[1], "%s: %s", p.Title, target.LegendFormat)
					}
				}
			}
		}
	}
}

func parse(t *testing.T, query string) parser.Expr {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	require.NoError(t, err)
	return expr
}

type ruleGroups struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr         string
			Labels, Annotations map[string]string
		}
	}
}

var inAnnotation = regexp.MustCompile(`\$labels\.(\w+)`)

// Each alert reads exported metrics, has a severity and a test, and leads to an existing section of the runbook.
func TestObserve_AlertsLeadToTheirRunbooks(t *testing.T) {
	t.Parallel()
	series := metrics(t)
	var rules ruleGroups
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "deploy/prometheus/posthorn.rules.yaml")), &rules))
	tests := read(t, "deploy/prometheus/posthorn.rules.test.yaml")
	sections := anchors(read(t, "docs/operations.md"))
	seen := map[string]bool{}
	for _, rule := range rules.Groups[0].Rules {
		require.Regexp(t, `^Posthorn[A-Z]\w+$`, rule.Alert)
		require.False(t, seen[rule.Alert], rule.Alert)
		seen[rule.Alert] = true
		require.Empty(t, problem(series, rule.Expr), rule.Alert)
		require.Contains(t, []string{"critical", "warning"}, rule.Labels["severity"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		require.Contains(t, tests, "alertname: "+rule.Alert+"\n", "%s has no test", rule.Alert)
		anchor, ok := strings.CutPrefix(rule.Annotations["runbook_url"], "https://github.com/posthorn/posthorn/blob/main/docs/operations.md#")
		require.True(t, ok, rule.Alert)
		require.Contains(t, sections, anchor, rule.Alert)
		for text := range maps.Values(rule.Annotations) {
			for _, label := range inAnnotation.FindAllStringSubmatch(text, -1) {
				for _, name := range selected(parse(t, rule.Expr)) {
					require.Contains(t, series[name], label[1], "%s: %s", rule.Alert, text)
				}
			}
		}
	}
}

var (
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors lists the anchors that GitHub gives a page's headings.
func anchors(page string) []string {
	var all []string
	for _, h := range heading.FindAllStringSubmatch(page, -1) {
		all = append(all, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return all
}

// Links within the pages that say how to run Posthorn lead to sections that exist.
func TestObserve_LinksWithinPagesLeadSomewhere(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/operations.md")
	sections := anchors(page)
	for _, link := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(page, -1) {
		require.Contains(t, sections, link[1])
	}
}
