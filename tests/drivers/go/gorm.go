package main

import (
	"errors"
	"fmt"
	"time"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// Author and Book are made by GORM's own migration.
type Author struct {
	ID        uint   `gorm:"primaryKey"`
	Name      string `gorm:"size:60;uniqueIndex"`
	Born      *time.Time
	Score     float64
	Raw       []byte
	Books     []Book
	CreatedAt time.Time
	DeletedAt gorm.DeletedAt `gorm:"index"`
}

type Book struct {
	ID       uint
	AuthorID uint
	Title    string `gorm:"size:100"`
	Tags     []Tag  `gorm:"many2many:book_tags"`
}

type Tag struct {
	ID   uint
	Name string `gorm:"size:30;uniqueIndex"`
}

func withGorm() {
	quiet := &gorm.Config{Logger: logger.Default.LogMode(logger.Silent), TranslateError: true}
	db, err := gorm.Open(mysql.Open(dsn("&parseTime=true&charset=utf8mb4")), quiet)
	if err != nil {
		panic(err)
	}
	told := func(tx *gorm.DB) { say("affected", tx.RowsAffected, "error", tx.Error) }
	names := func(all []Author) {
		for _, one := range all {
			say(one.ID, one.Name, one.Score, value(one.Raw), len(one.Books))
		}
	}
	trace(version("gorm.io/gorm"), []step{
		{"migrate", func() error {
			for range 2 {
				if err := db.AutoMigrate(&Author{}, &Book{}, &Tag{}); err != nil {
					return err
				}
			}
			types, err := db.Migrator().ColumnTypes(&Author{})
			for _, one := range types {
				full, _ := one.ColumnType()
				key, _ := one.PrimaryKey()
				nullable, _ := one.Nullable()
				say(one.Name(), full, key, nullable)
			}
			say(db.Migrator().HasIndex(&Author{}, "Name"), db.Migrator().HasTable("none"), db.Migrator().CurrentDatabase())
			return err
		}},
		{"create", func() error {
			born := time.Date(1815, 12, 10, 1, 2, 3, 456000000, time.UTC)
			one := Author{Name: "Ada 😀", Born: &born, Score: 1.5, Raw: []byte{0, 255}, Books: []Book{{Title: "Notes", Tags: []Tag{{Name: "old"}}}, {Title: "More"}}}
			told(db.Create(&one))
			say(one.ID, one.Books[0].ID, one.Books[1].AuthorID)
			var all []Author
			for n := range 50 {
				all = append(all, Author{Name: fmt.Sprint("a", n), Score: float64(n)})
			}
			told(db.CreateInBatches(&all, 20))
			say(all[0].ID, all[49].ID)
			told(db.Create(&Author{Name: "a1"}))
			told(db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&Author{Name: "a1", Score: 99}))
			return nil
		}},
		{"read", func() error {
			var one Author
			told(db.Preload("Books.Tags").First(&one, "name = ?", "Ada 😀"))
			say(one.Born, len(one.Books), one.Books[0].Tags[0].Name)
			var all []Author
			told(db.Where("score > ?", 45).Order("id").Find(&all))
			names(all)
			say(errors.Is(db.First(&one, 99999).Error, gorm.ErrRecordNotFound))
			var count int64
			told(db.Model(&Author{}).Where("name LIKE ?", "a%").Count(&count))
			say(count)
			var pairs []struct {
				Name  string
				Title string
			}
			told(db.Table("authors").Select("authors.name, books.title").Joins("JOIN books ON books.author_id = authors.id").Order("books.id").Scan(&pairs))
			say(pairs)
			return db.FindInBatches(&all, 7, func(tx *gorm.DB, batch int) error { say("batch", batch, tx.RowsAffected); return nil }).Error
		}},
		{"update", func() error {
			told(db.Model(&Author{}).Where("score < ?", 3).Updates(map[string]any{"score": gorm.Expr("score + ?", 100)}))
			told(db.Model(&Author{}).Where("name = ?", "a5").Update("raw", nil))
			told(db.Where("name = ?", "a6").Delete(&Author{}))
			told(db.Unscoped().Where("name = ?", "a7").Delete(&Author{}))
			var count int64
			db.Unscoped().Model(&Author{}).Count(&count)
			say(count)
			return nil
		}},
		{"transactions", func() error {
			err := db.Transaction(func(tx *gorm.DB) error {
				told(tx.Create(&Tag{Name: "kept"}))
				inner := tx.Transaction(func(tx *gorm.DB) error {
					told(tx.Create(&Tag{Name: "gone"}))
					return errors.New("back")
				})
				say(inner)
				return nil
			})
			say(err)
			say(db.Transaction(func(tx *gorm.DB) error {
				told(tx.Clauses(clause.Locking{Strength: "UPDATE"}).Find(&[]Tag{}))
				return errors.New("all back")
			}))
			var all []Tag
			told(db.Order("id").Find(&all))
			say(all)
			return nil
		}},
		{"prepared", func() error {
			tx := db.Session(&gorm.Session{PrepareStmt: true})
			for n := range 20 {
				var one Author
				if err := tx.Where("score = ?", n+10).First(&one).Error; err != nil {
					return err
				}
				say(one.Name)
			}
			return nil
		}},
		{"raw", func() error {
			var rows []map[string]any
			told(db.Raw("SELECT id, ti, bu, de, dt, vc, bl, js FROM types ORDER BY id").Scan(&rows))
			for _, row := range rows {
				for _, name := range []string{"id", "ti", "bu", "de", "dt", "vc", "bl", "js"} {
					say(name, value(row[name]))
				}
			}
			told(db.Exec("UPDATE people SET age = ? WHERE id = @id", 40, map[string]any{"id": 1}))
			return db.Migrator().DropTable(&Book{}, &Tag{}, &Author{}, "book_tags")
		}},
	})
}
