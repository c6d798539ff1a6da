#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/network/graph/graph.h"
#include "mien/network/graph/graph_builder.h"

namespace mien::network {
namespace {

constexpr size_t kMostBytes = 64 * 1024;  ///< of a network file
constexpr int64_t kMostRepeats = 1000;
constexpr int kMostNested = 16;  ///< blocks inside blocks
// toml++ builds one table inside another for each dot of a key, and destroys them recursively: a line of a hundred
// thousand dots would end the program. Nested values it bounds itself (TOML_MAX_NESTED_VALUES).
constexpr int64_t kMostDotsInALine = 1000;

/// How a layer is written in a network file.
struct Spelling {
  std::string_view word;
  std::string_view example;  ///< how it looks with its value; empty for a layer that needs none
  std::vector<std::string> options;
};

const std::vector<Spelling>& spellings() {
  static const std::vector<Spelling> all{
      {"conv", "{ conv = 64, kernel = 3 }", {"kernel", "stride", "padding", "bias", "groups"}},
      {"depthwise", "{ depthwise = 3 }", {"stride", "padding", "bias"}},
      {"dense", "{ dense = 128 }", {"bias"}},
      {"batch_norm", "", {"epsilon", "momentum"}},
      {"relu", "", {}},
      {"leaky_relu", "", {}},
      {"silu", "", {}},
      {"sigmoid", "", {}},
      {"max_pool", "{ max_pool = 2 }", {"stride", "padding"}},
      {"avg_pool", "{ avg_pool = 2 }", {"stride", "padding"}},
      {"global_avg_pool", "", {}},
      {"flatten", "", {}},
      {"dropout", "{ dropout = 0.25 }", {}},
      {"residual", "{ residual = [ ... ] }", {"shortcut"}},
      {"squeeze_excite", "{ squeeze_excite = 16 }", {}},
      {"repeat", "{ repeat = 3, layers = [ ... ] }", {"layers"}},
  };
  return all;
}

const Spelling* find_spelling(std::string_view word) {
  const auto found = std::find_if(
      spellings().begin(), spellings().end(), [&](const Spelling& spelling) { return spelling.word == word; });
  return found == spellings().end() ? nullptr : &*found;
}

std::vector<std::string> spelling_words() {
  std::vector<std::string> words;
  for (const Spelling& spelling : spellings()) words.emplace_back(spelling.word);
  return words;
}

int line_of(const toml::source_region& region) { return std::max(1, static_cast<int>(region.begin.line)); }

std::string found_text(const toml::node& node) {
  if (const auto* value = node.as_string()) return quote_sample(value->get());
  if (const auto* value = node.as_integer()) return std::to_string(value->get());
  if (const auto* value = node.as_floating_point()) return format_double(value->get());
  if (const auto* value = node.as_boolean()) return value->get() ? "true" : "false";
  if (node.is_array()) return "a list";
  return node.is_table() ? "a table" : "a date";
}

std::string range_text(int64_t minimum, int64_t maximum, int64_t value) {
  return value < minimum ? fmt::format("at least {}", minimum) : fmt::format("at most {}", maximum);
}

class Parser {
 public:
  Parser(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

  Graph parse();

 private:
  /// One layer of the file: a bare word, or a table whose key `spelling->word` holds its value.
  struct Item {
    const Spelling* spelling = nullptr;
    const toml::table* table = nullptr;  ///< absent for a bare word
    std::string subject;                 ///< "conv3": how messages call it
    int line = 0;

    const toml::node* value() const { return option(spelling->word); }
    const toml::node* option(std::string_view key) const { return table == nullptr ? nullptr : table->get(key); }
  };

  [[noreturn]] void fail(int line, const std::string& message, const std::string& hint = {}) const {
    throw_usage(fmt::format("{}:{}: {}", file_, line, message), hint);
  }

  toml::table parse_toml() const;
  std::string read_name(const toml::table& root) const;
  Shape read_input(const toml::table& root) const;

  int read_layers(const toml::array& list, int node, int depth);
  int read_layer(const toml::node& entry, int node, int depth);
  Item read_item(const toml::node& entry) const;
  const Spelling* spelling_of(const toml::table& table, int line) const;
  std::string subject_of(const Spelling& spelling) const;

  int read_simple(const Item& item, int node);
  int read_conv(const Item& item, int node);
  int read_pool(const Item& item, int node);
  int read_residual(const Item& item, int node, int depth);
  int read_squeeze_excite(const Item& item, int node);
  int read_repeat(const Item& item, int node, int depth);

  int64_t whole(
      const Item& item, std::string_view key, const toml::node& value, int64_t minimum, int64_t maximum) const;
  int64_t whole_option(
      const Item& item, std::string_view key, int64_t fallback, int64_t minimum, int64_t maximum) const;
  double number(const Item& item,
                std::string_view key,
                double fallback,
                const std::function<bool(double)>& is_allowed,
                std::string_view expected) const;
  bool flag(const Item& item, std::string_view key, bool fallback) const;
  std::pair<int64_t, int64_t> read_kernel(const Item& item, std::string_view key) const;
  Padding read_padding(const Item& item, const Layer& layer, const Shape& input) const;
  const toml::array& list(const Item& item, std::string_view key) const;

  std::string_view text_;
  std::string file_;
  std::optional<GraphBuilder> builder_;
};

// ---- the file

toml::table Parser::parse_toml() const {
  if (text_.size() > kMostBytes) {
    fail(1,
         fmt::format("the network file has {} bytes, expected at most {}",
                     with_commas(int64_t(text_.size())),
                     with_commas(kMostBytes)));
  }
  int line = 1;
  int64_t dots = 0;
  for (const char c : text_) {
    if (c == '\n') ++line, dots = 0;
    if (c == '.' && ++dots > kMostDotsInALine) {
      fail(line, fmt::format("the line has more than {} dots", kMostDotsInALine));
    }
  }
  try {
    return toml::parse(text_, file_);
  } catch (const toml::parse_error& error) {
    fail(line_of(error.source()), fmt::format("not valid TOML: {}", error.description()));
  }
}

std::string Parser::read_name(const toml::table& root) const {
  const toml::node* node = root.get("name");
  if (node == nullptr) fail(1, "the network has no name", "begin with: name = \"my-network\"");
  const auto* name = node->as_string();
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (name == nullptr || name->get().empty() || name->get().size() > 64 ||
      !std::all_of(name->get().begin(), name->get().end(), is_plain)) {
    fail(line_of(node->source()),
         fmt::format("the name is {}, expected 1 to 64 letters, digits, '-' and '_'", found_text(*node)));
  }
  return name->get();
}

Shape Parser::read_input(const toml::table& root) const {
  const toml::node* node = root.get("input");
  if (node == nullptr) fail(1, "the network has no input", "add: input = [1, 48, 48]  # channels, height, width");
  const int line = line_of(node->source());
  const toml::array* sizes = node->as_array();
  if (sizes == nullptr || sizes->size() != 3) {
    fail(line,
         fmt::format("input is {}, expected three whole numbers, [channels, height, width]",
                     sizes == nullptr ? found_text(*node) : fmt::format("a list of {}", sizes->size())));
  }
  std::array<int64_t, 3> values{};
  const std::array<int64_t, 3> most{kMostChannels, kMostSide, kMostSide};
  for (size_t i = 0; i < 3; ++i) {
    const auto* value = (*sizes)[i].as_integer();
    if (value == nullptr || value->get() < 1 || value->get() > most[i]) {
      fail(line, fmt::format("input has {}, expected a whole number from 1 to {}", found_text((*sizes)[i]), most[i]));
    }
    values[i] = value->get();
  }
  return {.channels = values[0], .height = values[1], .width = values[2]};
}

Graph Parser::parse() {
  const toml::table root = parse_toml();
  const std::vector<std::string> keys{"name", "source", "input", "layers"};
  for (const auto& [key, node] : root) {
    if (std::find(keys.begin(), keys.end(), key.str()) == keys.end()) {
      fail(line_of(key.source()), fmt::format("unknown key {}", quote_sample(key.str())), suggestion(key.str(), keys));
    }
  }
  Graph graph;
  graph.name = read_name(root);
  graph.toml = std::string(text_);
  if (const toml::node* source = root.get("source")) {
    const auto* value = source->as_string();
    if (value == nullptr)
      fail(line_of(source->source()), fmt::format("source is {}, expected text", found_text(*source)));
    graph.source = value->get();
  }
  const Shape input = read_input(root);
  builder_.emplace(file_, input, line_of(root.get("input")->source()));
  const toml::node* layers = root.get("layers");
  if (layers == nullptr) fail(1, "the network has no layers", "add: layers = [ ... ]");
  if (!layers->is_array() || layers->as_array()->empty()) {
    fail(line_of(layers->source()),
         fmt::format("layers is {}, expected a list of layers",
                     layers->is_array() ? "an empty list" : found_text(*layers)));
  }
  read_layers(*layers->as_array(), 0, 0);
  graph.layers = builder_->finish();
  return graph;
}

// ---- layers

int Parser::read_layers(const toml::array& entries, int node, int depth) {
  for (const toml::node& entry : entries) node = read_layer(entry, node, depth);
  return node;
}

int Parser::read_layer(const toml::node& entry, int node, int depth) {
  const Item item = read_item(entry);
  const std::string_view word = item.spelling->word;
  if (depth >= kMostNested && (word == "residual" || word == "repeat")) {
    fail(item.line, fmt::format("{} stands inside {} blocks, expected at most {}", word, depth, kMostNested - 1));
  }
  if (word == "conv" || word == "depthwise") return read_conv(item, node);
  if (word == "max_pool" || word == "avg_pool") return read_pool(item, node);
  if (word == "residual") return read_residual(item, node, depth);
  if (word == "squeeze_excite") return read_squeeze_excite(item, node);
  if (word == "repeat") return read_repeat(item, node, depth);
  return read_simple(item, node);
}

std::string Parser::subject_of(const Spelling& spelling) const {
  if (spelling.word == "depthwise") return builder_->next_name(LayerKind::conv);
  for (int kind = 0; kind <= static_cast<int>(LayerKind::multiply); ++kind) {
    if (to_text(static_cast<LayerKind>(kind)) == spelling.word)
      return builder_->next_name(static_cast<LayerKind>(kind));
  }
  return std::string(spelling.word);  // a block, which is no node of its own
}

const Spelling* Parser::spelling_of(const toml::table& table, int line) const {
  const Spelling* found = nullptr;
  for (const auto& [key, node] : table) {
    const Spelling* spelling = find_spelling(key.str());
    if (spelling == nullptr) continue;
    if (found != nullptr) {
      fail(line, fmt::format("a layer is both {} and {}, expected one of them", found->word, spelling->word));
    }
    found = spelling;
  }
  if (found != nullptr) return found;
  // No layer's word among the keys: the misspelt one is the key that is no option either.
  std::vector<std::string> options;
  for (const Spelling& spelling : spellings()) {
    options.insert(options.end(), spelling.options.begin(), spelling.options.end());
  }
  for (const auto& [key, node] : table) {
    if (std::find(options.begin(), options.end(), key.str()) == options.end()) {
      fail(line_of(key.source()),
           fmt::format("unknown layer {}", quote_sample(key.str())),
           suggestion(key.str(), spelling_words()));
    }
  }
  fail(line, "a layer has no kind", suggestion("", spelling_words()));
}

Parser::Item Parser::read_item(const toml::node& entry) const {
  Item item;
  item.line = line_of(entry.source());
  if (const auto* word = entry.as_string()) {
    item.spelling = find_spelling(word->get());
    if (item.spelling == nullptr) {
      fail(item.line,
           fmt::format("unknown layer {}", quote_sample(word->get())),
           suggestion(word->get(), spelling_words()));
    }
    if (!item.spelling->example.empty()) {
      fail(item.line,
           fmt::format("{} stands without a value, expected {}", subject_of(*item.spelling), item.spelling->example));
    }
    item.subject = subject_of(*item.spelling);
    return item;
  }
  item.table = entry.as_table();
  if (item.table == nullptr) {
    fail(item.line,
         fmt::format("a layer is {}, expected a word such as \"relu\" or a table such as {{ dense = 128 }}",
                     found_text(entry)));
  }
  item.spelling = spelling_of(*item.table, item.line);
  item.subject = subject_of(*item.spelling);
  const std::vector<std::string>& options = item.spelling->options;
  for (const auto& [key, node] : *item.table) {
    if (key.str() == item.spelling->word) continue;
    if (std::find(options.begin(), options.end(), key.str()) != options.end()) continue;
    fail(line_of(key.source()),
         fmt::format("{} has the unknown option {}", item.subject, quote_sample(key.str())),
         options.empty() ? fmt::format("{} has no options", item.spelling->word) : suggestion(key.str(), options));
  }
  return item;
}

int Parser::read_simple(const Item& item, int node) {
  const std::string_view word = item.spelling->word;
  Layer layer{.line = item.line};
  if (word == "dense") {
    layer.kind = LayerKind::dense;
    layer.output_shape.channels = whole(item, "", *item.value(), 1, kMostDenseOutputs);
    layer.bias = flag(item, "bias", true);
    return builder_->add(std::move(layer), {node});
  }
  if (word == "dropout") {
    layer.kind = LayerKind::dropout;
    layer.probability = number(
        item, word, 0, [](double value) { return value >= 0 && value < 1; }, "a probability from 0 to below 1");
    return builder_->add(std::move(layer), {node});
  }
  if (word == "leaky_relu") {
    layer.kind = LayerKind::leaky_relu;
    layer.negative_slope = number(
        item, word, layer.negative_slope, [](double value) { return value >= 0 && value <= 1; }, "a slope from 0 to 1");
    return builder_->add(std::move(layer), {node});
  }
  if (!flag(item, word, true)) fail(item.line, fmt::format("{} is false, expected true", item.subject), "leave it out");
  if (word == "batch_norm") {
    layer.kind = LayerKind::batch_norm;
    layer.epsilon = number(
        item, "epsilon", layer.epsilon, [](double value) { return value > 0 && value <= 1; }, "from above 0 to 1");
    layer.momentum = number(
        item, "momentum", layer.momentum, [](double value) { return value > 0 && value <= 1; }, "from above 0 to 1");
  } else if (word == "relu") {
    layer.kind = LayerKind::relu;
  } else if (word == "silu") {
    layer.kind = LayerKind::silu;
  } else if (word == "sigmoid") {
    layer.kind = LayerKind::sigmoid;
  } else if (word == "global_avg_pool") {
    layer.kind = LayerKind::global_avg_pool;
  } else {
    layer.kind = LayerKind::flatten;
  }
  return builder_->add(std::move(layer), {node});
}

int Parser::read_conv(const Item& item, int node) {
  const Shape input = builder_->shape(node);
  Layer layer{.kind = LayerKind::conv, .line = item.line};
  if (item.spelling->word == "depthwise") {
    layer.output_shape.channels = input.channels;
    layer.groups = input.channels;
    std::tie(layer.kernel_height, layer.kernel_width) = read_kernel(item, "depthwise");
  } else {
    layer.output_shape.channels = whole(item, "", *item.value(), 1, kMostChannels);
    layer.groups = whole_option(item, "groups", 1, 1, kMostChannels);
    if (item.option("kernel") == nullptr) {
      fail(item.line, fmt::format("{} has no kernel, expected a size such as kernel = 3", item.subject));
    }
    std::tie(layer.kernel_height, layer.kernel_width) = read_kernel(item, "kernel");
  }
  layer.stride = whole_option(item, "stride", 1, 1, kMostSide);
  layer.bias = flag(item, "bias", true);
  layer.padding = read_padding(item, layer, input);
  return builder_->add(std::move(layer), {node});
}

int Parser::read_pool(const Item& item, int node) {
  const std::string_view word = item.spelling->word;
  Layer layer{.kind = word == "max_pool" ? LayerKind::max_pool : LayerKind::avg_pool, .line = item.line};
  std::tie(layer.kernel_height, layer.kernel_width) = read_kernel(item, word);
  // As Keras and PyTorch: a pool steps by its own size unless told otherwise.
  layer.stride = whole_option(item, "stride", layer.kernel_height, 1, kMostSide);
  if (item.option("stride") == nullptr && layer.kernel_height != layer.kernel_width) {
    fail(item.line,
         fmt::format(
             "{} has kernel {}x{} and no stride, expected one", item.subject, layer.kernel_height, layer.kernel_width));
  }
  layer.padding = read_padding(item, layer, builder_->shape(node));
  return builder_->add(std::move(layer), {node});
}

int Parser::read_residual(const Item& item, int node, int depth) {
  const int branch = read_layers(list(item, "residual"), node, depth + 1);
  const int shortcut = item.option("shortcut") == nullptr ? node : read_layers(list(item, "shortcut"), node, depth + 1);
  return builder_->add({.kind = LayerKind::add, .line = item.line}, {branch, shortcut});
}

int Parser::read_squeeze_excite(const Item& item, int node) {
  const Shape input = builder_->shape(node);
  const int64_t reduction = whole(item, "", *item.value(), 1, input.channels);
  const auto add = [&](LayerKind kind, int from, int64_t channels = 0) {
    return builder_->add({.kind = kind,
                          .output_shape = {.channels = channels},
                          .kernel_height = 1,
                          .kernel_width = 1,
                          .line = item.line},
                         {from});
  };
  int gate = add(LayerKind::global_avg_pool, node);
  gate = add(LayerKind::conv, gate, input.channels / reduction);
  gate = add(LayerKind::relu, gate);
  gate = add(LayerKind::conv, gate, input.channels);
  gate = add(LayerKind::sigmoid, gate);
  return builder_->add({.kind = LayerKind::multiply, .line = item.line}, {node, gate});
}

int Parser::read_repeat(const Item& item, int node, int depth) {
  const int64_t count = whole(item, "", *item.value(), 1, kMostRepeats);
  if (item.option("layers") == nullptr) {
    fail(item.line, fmt::format("repeat has no layers, expected {}", item.spelling->example));
  }
  // Every round adds a node (a list is never empty), so the bound on nodes ends nested repeats too.
  const toml::array& layers = list(item, "layers");
  for (int64_t round = 0; round < count; ++round) node = read_layers(layers, node, depth + 1);
  return node;
}

// ---- values

int64_t Parser::whole(
    const Item& item, std::string_view key, const toml::node& value, int64_t minimum, int64_t maximum) const {
  const std::string_view shown = key.empty() ? "value" : key;
  const auto* number = value.as_integer();
  if (number == nullptr) {
    fail(line_of(value.source()),
         fmt::format(
             "{} has {} {}, expected a whole number at least {}", item.subject, shown, found_text(value), minimum));
  }
  if (number->get() < minimum || number->get() > maximum) {
    fail(line_of(value.source()),
         fmt::format("{} has {} {}, expected {}",
                     item.subject,
                     shown,
                     number->get(),
                     range_text(minimum, maximum, number->get())));
  }
  return number->get();
}

int64_t Parser::whole_option(
    const Item& item, std::string_view key, int64_t fallback, int64_t minimum, int64_t maximum) const {
  const toml::node* value = item.option(key);
  return value == nullptr ? fallback : whole(item, key, *value, minimum, maximum);
}

double Parser::number(const Item& item,
                      std::string_view key,
                      double fallback,
                      const std::function<bool(double)>& is_allowed,
                      std::string_view expected) const {
  const toml::node* node = item.option(key);
  if (node == nullptr) return fallback;
  double value = std::numeric_limits<double>::quiet_NaN();
  if (const auto* real = node->as_floating_point()) value = real->get();
  if (const auto* integer = node->as_integer()) value = static_cast<double>(integer->get());
  if (!std::isfinite(value) || !is_allowed(value)) {
    fail(line_of(node->source()),
         fmt::format("{} has {} {}, expected {}",
                     item.subject,
                     key == item.spelling->word ? "value" : key,
                     found_text(*node),
                     expected));
  }
  return value;
}

bool Parser::flag(const Item& item, std::string_view key, bool fallback) const {
  const toml::node* node = item.option(key);
  if (node == nullptr) return fallback;
  const auto* value = node->as_boolean();
  if (value == nullptr) {
    fail(line_of(node->source()),
         fmt::format("{} has {} {}, expected true or false",
                     item.subject,
                     key == item.spelling->word ? "value" : key,
                     found_text(*node)));
  }
  return value->get();
}

std::pair<int64_t, int64_t> Parser::read_kernel(const Item& item, std::string_view key) const {
  const toml::node& node = *item.option(key);
  const toml::array* sides = node.as_array();
  if (sides == nullptr) {
    const int64_t side = whole(item, "kernel", node, 1, kMostSide);
    return {side, side};
  }
  if (sides->size() != 2) {
    fail(line_of(node.source()),
         fmt::format("{} has a kernel of {} numbers, expected a side or [height, width]", item.subject, sides->size()));
  }
  return {whole(item, "kernel", (*sides)[0], 1, kMostSide), whole(item, "kernel", (*sides)[1], 1, kMostSide)};
}

Padding Parser::read_padding(const Item& item, const Layer& layer, const Shape& input) const {
  const toml::node* node = item.option("padding");
  if (node == nullptr) return {};
  const bool is_pool = layer.kind != LayerKind::conv;
  const int line = line_of(node->source());
  if (const auto* number = node->as_integer()) {
    const int64_t least_kernel = std::min(layer.kernel_height, layer.kernel_width);
    // More would add outputs that see no pixel (pool: libtorch's own bound).
    const int64_t most = is_pool ? least_kernel / 2 : least_kernel - 1;
    const int64_t value = number->get();
    if (value < 0 || value > most) {
      fail(line,
           fmt::format("{} has padding {}, expected {} for kernel {}x{}",
                       item.subject,
                       value,
                       range_text(0, most, value),
                       layer.kernel_height,
                       layer.kernel_width));
    }
    return {.top = value, .left = value, .bottom = value, .right = value};
  }
  const auto* word = node->as_string();
  if (word != nullptr && word->get() == "valid") return {};
  if (word == nullptr || word->get() != "same" || is_pool) {
    fail(line,
         fmt::format("{} has padding {}, expected {}",
                     item.subject,
                     found_text(*node),
                     is_pool ? "\"valid\" or a number" : "\"same\", \"valid\" or a number"));
  }
  const auto total = [&](int64_t size, int64_t kernel) {
    const int64_t outputs = (size + layer.stride - 1) / layer.stride;
    return std::max<int64_t>(0, (outputs - 1) * layer.stride + kernel - size);
  };
  const int64_t vertical = total(input.height, layer.kernel_height);
  const int64_t horizontal = total(input.width, layer.kernel_width);
  return {.top = vertical / 2,
          .left = horizontal / 2,
          .bottom = vertical - vertical / 2,
          .right = horizontal - horizontal / 2};
}

const toml::array& Parser::list(const Item& item, std::string_view key) const {
  const toml::node& node = *item.option(key);
  if (!node.is_array() || node.as_array()->empty()) {
    fail(line_of(node.source()),
         fmt::format("{} has {} {}, expected a list of layers",
                     item.subject,
                     key == item.spelling->word ? "value" : key,
                     node.is_array() ? "an empty list" : found_text(node)));
  }
  return *node.as_array();
}

}  // namespace

Graph parse_graph(std::string_view toml_text, const std::string& file) { return Parser(toml_text, file).parse(); }

}  // namespace mien::network
