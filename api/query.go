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

// pageOf reads the parameters of a list where huma does not: at most, and by default, most entries. wrong is what is wrong
// with them.
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

// afterParam is the parameter of every list that takes a cursor.
const afterParam = "after"

// checkQuery finds what is wrong with a query that does not say one thing: parameters that the operation does not have, one that is given
// twice, one without a value. A filter that is passed over without a word answers another question than was asked.
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
		case given[0] == "" && name != afterParam: // an empty cursor is the first page's
			wrong = append(wrong, FieldError{name, "is empty; leave it out if it is not meant"})
		}
	}
	return wrong, nil
}
