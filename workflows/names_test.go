package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"

	"github.com/posthorn/posthorn/workflows"
)

// EnsureSearchAttributes compares every attribute with a text, which only these types can be compared with. SQL
// visibility stores have columns for three keyword lists.
func TestNames_SearchAttributesAreTextsAndFitSQLStores(t *testing.T) {
	t.Parallel()
	lists := 0
	for name, kind := range workflows.SearchAttributes() {
		require.Contains(t, []enums.IndexedValueType{enums.INDEXED_VALUE_TYPE_KEYWORD, enums.INDEXED_VALUE_TYPE_KEYWORD_LIST}, kind, name)
		if kind == enums.INDEXED_VALUE_TYPE_KEYWORD_LIST {
			lists++
		}
	}
	require.LessOrEqual(t, lists, 3)
}
