# ActiveRecord on mysql2: migrations, associations, its pool, its query cache, transactions, locks.
require "logger"
# There are no gems here: what the adapter asks for is on the path.
module Gem
  def self.path = []
  def self.default_dir = "/none"
end
module Kernel
  def gem(*) = nil
end
require "active_record"
require "active_record/connection_adapters/mysql2_adapter"

def env(name) = ENV["WEIR_" + name]
def say(*words) = puts(words.join(" ").gsub("\n", "\\n"))
def value(v)
  case v
  when nil then "NULL"
  when BigDecimal then "decimal:#{v.to_s("F")}"
  when Time, ActiveSupport::TimeWithZone then "time:#{v.utc.strftime("%F %T.%6N")}"
  when Array then "[#{v.map { |one| value(one) }.join(", ")}]"
  when Hash then "{#{v.map { |k, one| "#{k}: #{value(one)}" }.join(", ")}}"
  else "#{v.class}:#{v.inspect}"
  end
end
def failed
  yield
  say("! it did not fail")
rescue ActiveRecord::ActiveRecordError => e
  say("error", e.class, e.cause.respond_to?(:error_number) ? e.cause.error_number : "-", e.message.lines.first)
end

ActiveRecord::Base.establish_connection(adapter: "mysql2", host: env("HOST"), port: env("PORT").to_i, username: env("USER"), password: env("PASSWORD"), database: env("SCHEMA"), encoding: "utf8mb4", pool: 4, prepared_statements: ARGV[0] == "prepared", get_server_public_key: true, variables: { time_zone: "+00:00" })
ActiveRecord::Base.default_timezone = :utc
ActiveRecord::Migration.verbose = false

class Author < ActiveRecord::Base
  self.table_name = "ar_authors"
  has_many :books, -> { order(:id) }, dependent: :destroy
  validates :name, presence: true
end
class Book < ActiveRecord::Base
  self.table_name = "ar_books"
  belongs_to :author, optional: true, counter_cache: true
end
class Begin < ActiveRecord::Migration[6.1]
  def change
    create_table :ar_authors do |t|
      t.string :name, limit: 60, null: false, index: { unique: true }
      t.datetime :born, precision: 6
      t.decimal :score, precision: 20, scale: 5, default: 0
      t.json :extra
      t.binary :raw
      t.bigint :big, unsigned: true
      t.boolean :living, default: false
      t.integer :books_count, default: 0, null: false
      t.integer :lock_version, default: 0, null: false
      t.timestamps
    end
    create_table(:ar_books) { |t| t.string :title, limit: 100, index: true; t.references :author, foreign_key: { to_table: :ar_authors } }
  end
end
class Later < ActiveRecord::Migration[6.1]
  def change
    add_column :ar_books, :note, :string, limit: 20, default: "new", null: false
    add_index :ar_books, [:note, :title], name: "ar_both"
    rename_column :ar_books, :note, :remark
  end
end
def books = Book.order(:id).pluck(:title)

STEPS = {
  "connect" => -> {
    c = ActiveRecord::Base.connection
    say(value(c.select_rows("SELECT DATABASE(), CURRENT_USER(), @@autocommit, @@sql_mode, @@character_set_client, @@collation_connection, @@time_zone, @@wait_timeout")))
    say(c.active?, c.current_database == env("SCHEMA"), value(c.tables), value(c.show_variable("character_set_server")))
  },
  "migrations" => -> {
    c = ActiveRecord::Base.connection
    Begin.migrate(:up)
    Later.migrate(:up)
    %w[ar_authors ar_books].each do |table|
      say(value(c.columns(table).map { |one| [one.name, one.sql_type, one.null, one.default] }))
      say(value(c.indexes(table).map { |one| [one.name, one.columns, one.unique] }), value(c.foreign_keys(table).map { |one| [one.to_table, one.column] }))
    end
    Later.migrate(:down)
    Book.reset_column_information
    say(value(Book.column_names))
    # As `db:migrate` does: one migrator at a time, by GET_LOCK.
    say(c.get_advisory_lock("weir_migrations"), c.release_advisory_lock("weir_migrations"))
  },
  "create" => -> {
    ada = Author.create!(name: "Ada 😀", born: Time.utc(1815, 12, 10, 1, 2, 3.456789r), score: 1.5, extra: { a: [1, nil, "ü"] }, raw: [0, 255].pack("C*"), big: 2**64 - 1, books: [Book.new(title: "Notes")])
    ada.books.create!(title: "More")
    say(value(Author.find(ada.id).attributes.except("created_at", "updated_at")))
    say(value(Author.insert_all((0...50).map { |n| { name: "a#{n}", big: n, created_at: Time.utc(2024), updated_at: Time.utc(2024) } }).length))
    say(value(Author.upsert_all([{ name: "a1", big: 99, created_at: Time.utc(2024), updated_at: Time.utc(2025) }]).length), Author.find_by(name: "a1").big)
    failed { Author.create!(name: "a1") }
    failed { Author.create!(name: nil) }
    failed { Book.create!(author_id: 99999) }
    say(Author.create_or_find_by(name: "a2").big, Author.find_or_create_by(name: "found").name)
  },
  "queries" => -> {
    say(value(Author.where("big > ?", 45).order(:id).pluck(:id, :name, :big)))
    say(value(Author.includes(:books).where(name: "Ada 😀").map { |one| [one.name, one.books.map(&:title)] }))
    say(value(Author.left_joins(:books).group(:living).count), value(Author.sum(:score)), Author.maximum(:big), Author.exists?(name: "none"), Author.count)
    say(value(Author.order(:id).limit(3).offset(2).ids), value(Author.find_by_sql(["SELECT name FROM ar_authors WHERE id = ?", 3]).map(&:name)))
    say(value(ActiveRecord::Base.connection.exec_query("SELECT id, bu, de, dt, js, vb FROM types ORDER BY id").to_a))
    failed { ActiveRecord::Base.connection.execute("SELECT * FROM none") }
    Author.in_batches(of: 20) { |some| say("batch", some.count) }
    say(Author.connection.cache { 3.times.map { Author.count }.uniq.size })
    say(Author.where(name: "a3").explain.lines.size)
  },
  "updates" => -> {
    say(Author.where("big < 3").update_all("score = score + 1"), Author.where(name: %w[a7 a8]).delete_all, Author.find_by(name: "Ada 😀").books.first.destroy.title)
    one = Author.find_by(name: "a5")
    other = Author.find_by(name: "a5")
    one.update!(living: true)
    failed { other.update!(living: true, score: 3) }
    one.increment!(:score, 2)
    say(value(one.reload.attributes.slice("score", "living", "lock_version")), value(Author.find_by(name: "Ada 😀").books_count))
  },
  "transactions" => -> {
    Author.transaction { Book.create!(title: "gone"); raise ActiveRecord::Rollback }
    Author.transaction do
      Book.create!(title: "outer")
      Author.transaction(requires_new: true) { Book.create!(title: "inner"); raise ActiveRecord::Rollback }
    end
    say(value(books))
    %i[read_committed serializable].each { |level| Author.transaction(isolation: level) { Book.create!(title: level); say(Book.count) } }
    failed { Author.transaction { Book.create!(title: "broken"); Author.connection.execute("SELECT * FROM none") } }
    say(value(books))
    one = Author.find_by(name: "a9")
    one.with_lock { Thread.new { failed { Author.transaction { Author.lock("FOR UPDATE NOWAIT").find(one.id) } } }.join; one.update!(living: true) }
    ActiveRecord::Base.connection_pool.release_connection
  },
  "procedures" => -> { c = ActiveRecord::Base.connection; c.execute("SET @b = 10"); say(value(c.select_rows("SELECT @b, doubled(21)"))); say(value(c.select_all("SHOW TABLES").to_a.size)) },
  "pool" => -> {
    say(value((0...8).map { |worker| Thread.new { ActiveRecord::Base.connection_pool.with_connection { (0...10).map { |n| Book.find(Book.create!(title: "p#{worker} #{n}").id).title }.uniq.size } } }.map(&:value)))
    say(Book.where("title LIKE 'p%'").count)
    ActiveRecord::Base.connection.reconnect!
    say(Book.count)
    ActiveRecord::Base.connection.reset!
    say(Book.count)
  },
  "closes" => -> {
    Begin.migrate(:down)
    say(value(ActiveRecord::Base.connection.tables.grep(/^ar_/)))
    ActiveRecord::Base.remove_connection
    failed { Author.count }
  },
}
say("# version", ActiveRecord::VERSION::STRING)
STEPS.each do |name, run|
  say("==", name)
  run.call
rescue StandardError => e
  say("!", e.class, e.message)
  warn e.full_message
end
say("== end")
