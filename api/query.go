package api

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/models"
)

// pageOf reads a list's parameters where huma does not. most is the largest and the default limit. wrong is what is
// wrong with the parameters.
func pageOf(c *gin.Context, most int) (p models.Page, wrong []FieldError) {
	p = models.Page{Limit: most, After: c.Query(afterParam)}
	if text, given := c.GetQuery("limit"); given {
		limit, err := strconv.Atoi(text)
		if err != nil || limit < 1 || limit > most {
			return p, []FieldError{{"limit", fmt.Sprintf("must be a whole number from 1 to %d", most)}}
		}
		p.Limit = limit
	}
	return p, nil
}

// afterParam is the cursor parameter of every list.
const afterParam = "after"

// checkQuery finds query parameters that the operation does not have, that are given twice, or that have no value.
// Ignoring such a filter silently would answer another question than the one asked.
func checkQuery(op *huma.Operation, rawQuery string) (wrong []FieldError, err error) {
	if rawQuery == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, newProblem(http.StatusUnprocessableEntity, "the query is not well-formed: its parts must be separated by & and percent-encoded")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		known := slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
		switch given := values[name]; {
		case len(wrong) == maxProblems:
			return wrong, nil
		case !known:
			wrong = append(wrong, FieldError{shortName(name), "is not a known parameter"})
		case len(given) > 1:
			wrong = append(wrong, FieldError{name, "is given twice"})
		case given[0] == "" && name != afterParam: // an empty cursor means the first page
			wrong = append(wrong, FieldError{name, "is empty; give it a value or leave it out"})
		}
	}
	return wrong, nil
}
