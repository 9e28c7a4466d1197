package devserver

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	enumspb "go.temporal.io/api/enums/v1"
	persistencespb "go.temporal.io/server/api/persistence/v1"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	"go.temporal.io/server/common/persistence/serialization"
	"go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/searchattribute/sadefs"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// ensureNamespace creates the namespace, or brings an existing one up to date: retention and search attributes.
//
// It writes to the store before the server starts. Through the API, each service would notice the change at a different
// time within seconds. Workflows started until then would be refused, or not be found by their attributes.
func ensureNamespace(ctx context.Context, cfg *config.SQL, o Options, logger log.Logger) error {
	db, err := sql.NewSQLDB(sqlplugin.DbKindMain, cfg, resolver.NewNoopResolver(), logger, metrics.NoopMetricsHandler)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = db.Close() }()

	rows, err := db.SelectFromNamespace(ctx, sqlplugin.NamespaceFilter{Name: &o.Namespace})
	if errors.Is(err, stdsql.ErrNoRows) {
		return createNamespace(cfg, o)
	}
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return updateNamespace(ctx, db, rows[0], o)
}

// createNamespace uses a function that belongs to the SQLite schema but works with any SQL store.
func createNamespace(cfg *config.SQL, o Options) error {
	namespace, err := sqliteschema.NewNamespaceConfig(clusterName, o.Namespace, false, nil)
	if err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	if err := apply(namespace.Detail, o); err != nil {
		return err
	}
	if err := sqliteschema.CreateNamespaces(cfg, namespace); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return nil
}

func updateNamespace(ctx context.Context, db sqlplugin.DB, row sqlplugin.NamespaceRow, o Options) error {
	serializer := serialization.NewSerializer()
	detail, err := serializer.NamespaceDetailFromBlob(persistence.NewDataBlob(row.Data, row.DataEncoding))
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	before := proto.Clone(detail)
	if err := apply(detail, o); err != nil {
		return err
	}
	if proto.Equal(before, detail) {
		return nil
	}
	detail.ConfigVersion++
	blob, err := serializer.NamespaceDetailToBlob(detail)
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	row.Data, row.DataEncoding = blob.GetData(), blob.GetEncodingType().String()
	if _, err := db.UpdateNamespace(ctx, &row); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}

// apply puts retention and search attributes into the namespace's record.
func apply(detail *persistencespb.NamespaceDetail, o Options) error {
	detail.Config.Retention = durationpb.New(o.Retention)
	columns, err := withSearchAttributes(detail.GetConfig().GetCustomSearchAttributeAliases(), o.SearchAttributes)
	if err != nil {
		return err
	}
	detail.Config.CustomSearchAttributeAliases = columns
	return nil
}

// withSearchAttributes returns columns with attributes added. SQL stores have a fixed set of columns of each type
// (Keyword01, Keyword02 …). A namespace names the columns that it uses.
func withSearchAttributes(columns map[string]string, attributes map[string]enumspb.IndexedValueType) (map[string]string, error) {
	available := sadefs.GetDBIndexSearchAttributes(nil).GetCustomSearchAttributes()
	taken := make(map[string]string, len(columns)) // attribute → column
	for column, attribute := range columns {
		taken[attribute] = column
	}
	columns = maps.Clone(columns)
	if columns == nil {
		columns = map[string]string{}
	}
	for _, attribute := range slices.Sorted(maps.Keys(attributes)) {
		kind := attributes[attribute]
		if column, ok := taken[attribute]; ok {
			if available[column] != kind {
				return nil, fmt.Errorf("search attribute %s: is a %s already, cannot become a %s", attribute, available[column], kind)
			}
			continue
		}
		column, ok := freeColumn(available, columns, kind)
		if !ok {
			return nil, fmt.Errorf("search attribute %s: no column of type %s is left", attribute, kind)
		}
		columns[column] = attribute
	}
	return columns, nil
}

// freeColumn returns the first column of a type that has no name yet.
func freeColumn(available map[string]enumspb.IndexedValueType, columns map[string]string, kind enumspb.IndexedValueType) (string, bool) {
	for _, column := range slices.Sorted(maps.Keys(available)) {
		if _, used := columns[column]; available[column] == kind && !used {
			return column, true
		}
	}
	return "", false
}
