package models

import (
	"context"
	"slices"
)

// adoptedAtOnce is how many dispatches are read at once to find whose a delivery is.
const adoptedAtOnce = 500

// adopt notes on deliveries which shared dispatch they are of, and gives those that are of none. A shared dispatch
// notes itself on what it leaves waiting only: as long as its first attempts are not made its deliveries look as if
// nothing drove them, and would be sent twice if they were dispatched again.
func (s *Store) adopt(ctx context.Context, rows []Delivery) ([]Delivery, error) {
	unclaimed := map[DeliveryKey]Delivery{}
	var oldest Delivery
	for _, d := range rows {
		if d.DispatchID != "" {
			continue
		}
		if len(unclaimed) == 0 || d.CreatedAt.Before(oldest.CreatedAt) {
			oldest = d
		}
		unclaimed[d.Key()] = d
	}
	adopted := map[DeliveryKey]bool{}
	after := ""
	for len(adopted) < len(unclaimed) {
		var page []Dispatch
		err := s.db.WithContext(ctx).Where("id > ? AND id LIKE ? AND created_at >= ?", after, PrefixDispatch+"%", oldest.CreatedAt.UTC()).
			Order("id").Limit(adoptedAtOnce).Find(&page).Error
		if err != nil {
			return nil, err
		}
		for _, p := range page {
			var mine []Delivery
			for _, key := range p.Deliveries {
				if d, ok := unclaimed[key]; ok {
					mine = append(mine, d)
					adopted[key] = true
				}
			}
			if err := s.Claim(ctx, p.ID, mine); err != nil {
				return nil, err
			}
		}
		if len(page) < adoptedAtOnce {
			break
		}
		after = page[len(page)-1].ID
	}
	return slices.DeleteFunc(rows, func(d Delivery) bool { return adopted[d.Key()] }), nil
}
