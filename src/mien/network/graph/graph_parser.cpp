#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/core/toml_values.h"
#include "mien/network/graph/graph.h"
#include "mien/network/graph/graph_builder.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::network {
namespace {

constexpr size_t kMostBytes = 64 * 1024;  ///< of a network file
constexpr int kMostNested = 16;           ///< blocks inside blocks
constexpr size_t kMostNameLength = 64;
constexpr const char* kPlainName = "1 to 64 letters, digits, '-' and '_'";

/// Names that mean something else where a layer is asked for.
constexpr std::array<std::string_view, 4> kReservedNames{"input", "last", "all", "auto"};

std::vector<std::string> word_names() {
  std::vector<std::string> words;
  for (const LayerWord& word : layer_words()) words.emplace_back(word.word);
  return words;
}

std::vector<std::string> key_names(const LayerWord& word) {
  std::vector<std::string> names;
  for (const LayerKey& key : word.keys) names.emplace_back(key.name);
  return names;
}

/// The nearest word, or all of them and where they are explained.
std::string word_hint(std::string_view found) {
  const std::string near = suggestion(found, word_names());
  return near.starts_with("did") ? near : near + "; `mien networks layers` explains them";
}

int line_of(const toml::source_region& region) { return std::max(1, static_cast<int>(region.begin.line)); }

std::string found_text(const toml::node& node) {
  if (const auto* value = node.as_string()) return quote_sample(value->get());
  if (const auto* value = node.as_integer()) return std::to_string(value->get());
  if (const auto* value = node.as_floating_point()) return format_double(value->get());
  if (const auto* value = node.as_boolean()) return value->get() ? "true" : "false";
  if (const auto* value = node.as_array()) return value->empty() ? "an empty list" : "a list";
  return node.is_table() ? "a table" : "a date";
}

std::string range_text(int64_t minimum, int64_t maximum, int64_t value) {
  return value < minimum ? fmt::format("at least {}", minimum) : fmt::format("at most {}", maximum);
}

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/// One layer of the file: a bare word, or a table whose key `word->word` holds its value.
struct Item {
  const LayerWord* word = nullptr;
  const toml::table* table = nullptr;  ///< absent for a bare word
  std::string name;                    ///< the file's own; empty if it gives none
  std::string subject;                 ///< "conv3": how messages call it
  int line = 0;

  const toml::node* find(std::string_view key) const { return table == nullptr ? nullptr : table->get(key); }
  const toml::node& value() const { return *find(word->word); }
  /// "value" for the key that is called like the layer.
  std::string_view shown(std::string_view key) const { return key == word->word ? "value" : key; }
  /// What stands in the table of keys: "for example { ... }; stride: step ..., a whole number from 1 to 4,096, 1 if
  /// left out".
  std::string hint(std::string_view key) const {
    const LayerKey& known = *word->find(key);
    return fmt::format("for example {}; {}: {}, {}{}",
                       word->example,
                       key,
                       known.meaning,
                       known.range_text(),
                       known.is_required() ? "" : fmt::format(", {} if left out", known.default_text()));
  }
  Layer layer() const { return {.kind = word->kind.value(), .name = name, .line = line}; }
};

class Parser {
 public:
  Parser(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

  Graph parse();

 private:
  [[noreturn]] void fail(int line, const std::string& message, const std::string& hint) const {
    throw_usage(fmt::format("{}:{}: {}", file_, line, message), hint);
  }
  [[noreturn]] void fail(const Item& item,
                         const toml::node& node,
                         std::string_view key,
                         const std::string& what) const {
    fail(line_of(node.source()), fmt::format("{} {}", item.subject, what), item.hint(key));
  }

  std::string read_network_name(const toml::table& root) const;
  Shape read_input(const toml::table& root) const;

  int read_layers(const toml::array& list, int node, int depth);
  int read_layer(const toml::node& entry, int node, int depth);
  Item read_item(const toml::node& entry) const;
  const LayerWord& word_of(const toml::table& table, int line) const;
  std::string subject_of(const LayerWord& word) const;
  std::string read_name(const Item& item) const;

  int read_simple(const Item& item, int node);
  int read_conv(const Item& item, int node);
  int read_pool(const Item& item, int node);
  int read_residual(const Item& item, int node, int depth);
  int read_concat(const Item& item, int node, int depth);
  int read_squeeze_excite(const Item& item, int node);
  int read_repeat(const Item& item, int node, int depth);

  int64_t whole(const Item& item, std::string_view key, const toml::node& value, int64_t maximum) const;
  int64_t whole(const Item& item, std::string_view key) const;
  double number(const Item& item, std::string_view key) const;
  bool flag(const Item& item, std::string_view key) const;
  std::pair<int64_t, int64_t> read_kernel(const Item& item, std::string_view key) const;
  Padding read_padding(const Item& item, const Layer& layer, const Shape& input) const;
  const toml::array& list(const Item& item, std::string_view key) const;

  std::string_view text_;
  std::string file_;
  std::optional<GraphBuilder> builder_;
};

// ---- the file

std::string Parser::read_network_name(const toml::table& root) const {
  const toml::node* node = root.get("name");
  if (node == nullptr) fail(1, "the network has no name", "begin with: name = \"my-network\"");
  const auto* name = node->as_string();
  if (name == nullptr || name->get().empty() || name->get().size() > kMostNameLength ||
      !std::all_of(name->get().begin(), name->get().end(), is_plain)) {
    fail(line_of(node->source()),
         fmt::format("the name is {}, expected {}", found_text(*node), kPlainName),
         "such as: name = \"my-network\"");
  }
  return name->get();
}

Shape Parser::read_input(const toml::table& root) const {
  const toml::node* node = root.get("input");
  const char* const example = "input = [1, 48, 48]  # channels, height, width";
  if (node == nullptr) fail(1, "the network has no input", fmt::format("add: {}", example));
  const int line = line_of(node->source());
  const toml::array* sizes = node->as_array();
  if (sizes == nullptr || sizes->size() != 3) {
    fail(line,
         fmt::format("input is {}, expected three whole numbers, [channels, height, width]",
                     sizes == nullptr ? found_text(*node) : fmt::format("a list of {}", sizes->size())),
         fmt::format("for example: {}", example));
  }
  std::array<int64_t, 3> values{};
  const std::array<int64_t, 3> most{kMostChannels, kMostSide, kMostSide};
  for (size_t i = 0; i < 3; ++i) {
    const auto* value = (*sizes)[i].as_integer();
    if (value == nullptr || value->get() < 1 || value->get() > most[i]) {
      fail(line,
           fmt::format("input has {}, expected a whole number from 1 to {}", found_text((*sizes)[i]), most[i]),
           fmt::format("for example: {}", example));
    }
    values[i] = value->get();
  }
  return {.channels = values[0], .height = values[1], .width = values[2]};
}

Graph Parser::parse() {
  const toml::table root = parse_toml(text_, file_, kMostBytes);
  const std::vector<std::string> keys{"name", "source", "input", "layers"};
  for (const auto& [key, node] : root) {
    if (std::find(keys.begin(), keys.end(), key.str()) == keys.end()) {
      fail(line_of(key.source()), fmt::format("unknown key {}", quote_sample(key.str())), suggestion(key.str(), keys));
    }
  }
  Graph graph;
  graph.name = read_network_name(root);
  graph.toml = std::string(text_);
  if (const toml::node* source = root.get("source")) {
    const auto* value = source->as_string();
    if (value == nullptr) {
      fail(line_of(source->source()),
           fmt::format("source is {}, expected text", found_text(*source)),
           "such as: source = \"my thesis\"");
    }
    graph.source = value->get();
  }
  const Shape input = read_input(root);
  builder_.emplace(file_, input, line_of(root.get("input")->source()));
  const toml::node* layers = root.get("layers");
  const char* const example = "add: layers = [ ... ]";
  if (layers == nullptr) fail(1, "the network has no layers", example);
  if (!layers->is_array() || layers->as_array()->empty()) {
    fail(line_of(layers->source()),
         fmt::format("layers is {}, expected a list of layers", found_text(*layers)),
         "such as: layers = [ \"flatten\", { dense = 7 } ]");
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
  const std::string_view word = item.word->word;
  const bool holds_layers = item.word->value().type == KeyType::layers ||
                            item.word->value().type == KeyType::branches || item.word->find("layers") != nullptr;
  if (depth >= kMostNested && holds_layers) {
    fail(item.line,
         fmt::format("{} stands inside {} blocks, expected at most {}", word, depth, kMostNested - 1),
         "write inner blocks one after the other");
  }
  if (item.word->kind == LayerKind::conv) return read_conv(item, node);
  if (word == "max_pool" || word == "avg_pool") return read_pool(item, node);
  if (word == "residual") return read_residual(item, node, depth);
  if (word == "concat") return read_concat(item, node, depth);
  if (word == "squeeze_excite") return read_squeeze_excite(item, node);
  if (word == "repeat") return read_repeat(item, node, depth);
  return read_simple(item, node);
}

std::string Parser::subject_of(const LayerWord& word) const {
  const bool is_layer = word.kind && (word.kind == LayerKind::conv || word.word == to_text(*word.kind));
  return is_layer ? builder_->next_name(*word.kind) : std::string(word.word);
}

const LayerWord& Parser::word_of(const toml::table& table, int line) const {
  const LayerWord* found = nullptr;
  for (const auto& [key, node] : table) {
    const LayerWord* word = find_layer_word(key.str());
    if (word == nullptr) continue;
    if (found != nullptr) {
      fail(line,
           fmt::format("a layer is both {} and {}, expected one of them", found->word, word->word),
           fmt::format("give each braces of its own: {{ {} = ... }}, {{ {} = ... }}", found->word, word->word));
    }
    found = word;
  }
  if (found != nullptr) return *found;
  // No layer's word among the keys: the misspelt one is the key that is no option either.
  for (const auto& [key, node] : table) {
    const bool is_known = std::any_of(layer_words().begin(), layer_words().end(), [&](const LayerWord& word) {
      return word.find(key.str()) != nullptr;
    });
    if (!is_known) {
      fail(line_of(key.source()), fmt::format("unknown layer {}", quote_sample(key.str())), word_hint(key.str()));
    }
  }
  fail(line, "a layer has no kind", word_hint(""));
}

Item Parser::read_item(const toml::node& entry) const {
  Item item;
  item.line = line_of(entry.source());
  if (const auto* word = entry.as_string()) {
    item.word = find_layer_word(word->get());
    if (item.word == nullptr) {
      fail(item.line, fmt::format("unknown layer {}", quote_sample(word->get())), word_hint(word->get()));
    }
    item.subject = subject_of(*item.word);
    if (item.word->value().is_required()) {
      fail(item.line,
           fmt::format("{} stands without a value, expected {}", item.subject, item.word->example),
           item.hint(item.word->word));
    }
    return item;
  }
  item.table = entry.as_table();
  if (item.table == nullptr) {
    fail(item.line,
         fmt::format("a layer is {}, expected a word such as \"relu\" or a table such as {{ dense = 128 }}",
                     found_text(entry)),
         word_hint(""));
  }
  item.word = &word_of(*item.table, item.line);
  item.subject = subject_of(*item.word);
  for (const auto& [key, node] : *item.table) {
    if (item.word->find(key.str()) != nullptr) continue;
    std::vector<std::string> names = key_names(*item.word);
    std::erase(names, item.word->word);
    fail(line_of(key.source()),
         fmt::format("{} has the unknown option {}", item.subject, quote_sample(key.str())),
         suggestion(key.str(), names));
  }
  item.name = read_name(item);
  if (!item.name.empty()) item.subject = item.name;
  return item;
}

std::string Parser::read_name(const Item& item) const {
  const toml::node* node = item.find("name");
  if (node == nullptr) return {};
  const auto* text = node->as_string();
  const std::string name = text == nullptr ? "" : text->get();
  const bool is_reserved = std::find(kReservedNames.begin(), kReservedNames.end(), name) != kReservedNames.end();
  const bool fits = !name.empty() && name.size() <= kMostNameLength && name.front() != '.' && name.back() != '.' &&
                    name.find("..") == std::string::npos &&
                    std::all_of(name.begin(), name.end(), [](char c) { return is_plain(c) || c == '.'; });
  if (fits && !is_reserved) return name;
  fail(item,
       *node,
       "name",
       is_reserved ? fmt::format("has the name '{}', which means something else to Mien", name)
                   : fmt::format("has the name {}, expected {} and, inside, '.'", found_text(*node), kPlainName));
}

int Parser::read_simple(const Item& item, int node) {
  Layer layer = item.layer();
  const std::string_view word = item.word->word;
  switch (layer.kind) {
    case LayerKind::dense:
      layer.output_shape.channels = whole(item, word);
      layer.bias = flag(item, "bias");
      break;
    case LayerKind::group_norm:
      layer.groups = whole(item, word);
      break;
    case LayerKind::dropout:
      layer.probability = number(item, word);
      break;
    case LayerKind::leaky_relu:
      layer.negative_slope = number(item, word);
      break;
    case LayerKind::elu:
      layer.alpha = number(item, word);
      break;
    case LayerKind::global_max_pool:
      layer.kernel_height = builder_->shape(node).height;
      layer.kernel_width = builder_->shape(node).width;
      [[fallthrough]];
    default:
      if (!flag(item, word)) fail(item.line, fmt::format("{} is false, expected true", item.subject), "leave it out");
  }
  if (item.word->find("epsilon") != nullptr) layer.epsilon = number(item, "epsilon");
  if (item.word->find("momentum") != nullptr) layer.momentum = number(item, "momentum");
  return builder_->add(std::move(layer), {node});
}

int Parser::read_conv(const Item& item, int node) {
  const Shape input = builder_->shape(node);
  Layer layer = item.layer();
  if (item.word->word == "depthwise") {
    layer.output_shape.channels = input.channels;
    layer.groups = input.channels;
    std::tie(layer.kernel_height, layer.kernel_width) = read_kernel(item, "depthwise");
  } else {
    layer.output_shape.channels = whole(item, "conv");
    layer.groups = whole(item, "groups");
    if (item.find("kernel") == nullptr) {
      fail(item.line,
           fmt::format("{} has no kernel, expected a size such as kernel = 3", item.subject),
           item.hint("kernel"));
    }
    std::tie(layer.kernel_height, layer.kernel_width) = read_kernel(item, "kernel");
  }
  layer.stride = whole(item, "stride");
  layer.bias = flag(item, "bias");
  layer.padding = read_padding(item, layer, input);
  return builder_->add(std::move(layer), {node});
}

int Parser::read_pool(const Item& item, int node) {
  Layer layer = item.layer();
  std::tie(layer.kernel_height, layer.kernel_width) = read_kernel(item, item.word->word);
  // As Keras and PyTorch: a pool steps by its own size unless told otherwise.
  const bool has_stride = item.find("stride") != nullptr;
  layer.stride = has_stride ? whole(item, "stride") : layer.kernel_height;
  if (!has_stride && layer.kernel_height != layer.kernel_width) {
    fail(item.line,
         fmt::format(
             "{} has kernel {}x{} and no stride, expected one", item.subject, layer.kernel_height, layer.kernel_width),
         item.hint("stride"));
  }
  layer.padding = read_padding(item, layer, builder_->shape(node));
  return builder_->add(std::move(layer), {node});
}

int Parser::read_residual(const Item& item, int node, int depth) {
  const int branch = read_layers(list(item, "residual"), node, depth + 1);
  const int shortcut = item.find("shortcut") == nullptr ? node : read_layers(list(item, "shortcut"), node, depth + 1);
  return builder_->add(item.layer(), {branch, shortcut});
}

int Parser::read_concat(const Item& item, int node, int depth) {
  const toml::array& branches = list(item, "concat");
  if (branches.size() < 2) {
    fail(item, item.value(), "concat", fmt::format("has {} branch, expected at least 2", branches.size()));
  }
  std::vector<int> ends;
  for (const toml::node& branch : branches) {
    if (!branch.is_array()) {
      fail(item, branch, "concat", fmt::format("has the branch {}, expected a list of layers", found_text(branch)));
    }
    ends.push_back(read_layers(*branch.as_array(), node, depth + 1));
  }
  return builder_->add(item.layer(), std::move(ends));
}

int Parser::read_squeeze_excite(const Item& item, int node) {
  const Shape input = builder_->shape(node);
  const int64_t reduction = whole(item, "squeeze_excite", item.value(), input.channels);
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
  return builder_->add(item.layer(), {node, gate});
}

int Parser::read_repeat(const Item& item, int node, int depth) {
  const int64_t count = whole(item, "repeat");
  if (item.find("layers") == nullptr) {
    fail(item.line, fmt::format("repeat has no layers, expected {}", item.word->example), item.hint("layers"));
  }
  // Every round adds a node (a list is never empty), so the bound on nodes ends nested repeats too.
  const toml::array& layers = list(item, "layers");
  for (int64_t round = 0; round < count; ++round) node = read_layers(layers, node, depth + 1);
  return node;
}

// ---- values

/// `value` as the whole number that stands behind `key`, up to `maximum`.
int64_t Parser::whole(const Item& item, std::string_view key, const toml::node& value, int64_t maximum) const {
  const auto minimum = static_cast<int64_t>(item.word->find(key)->minimum);
  const bool is_kernel = item.word->find(key)->type == KeyType::kernel;
  const std::string_view shown = is_kernel ? "kernel" : item.shown(key);
  const auto* number = value.as_integer();
  if (number == nullptr) {
    fail(item,
         value,
         key,
         fmt::format("has {} {}, expected a whole number at least {}", shown, found_text(value), minimum));
  }
  if (number->get() < minimum || number->get() > maximum) {
    fail(item,
         value,
         key,
         fmt::format("has {} {}, expected {}", shown, number->get(), range_text(minimum, maximum, number->get())));
  }
  return number->get();
}

int64_t Parser::whole(const Item& item, std::string_view key) const {
  const LayerKey& known = *item.word->find(key);
  const toml::node* value = item.find(key);
  if (value == nullptr) return static_cast<int64_t>(known.fallback.value());
  return whole(item, key, *value, static_cast<int64_t>(known.maximum));
}

double Parser::number(const Item& item, std::string_view key) const {
  const LayerKey& known = *item.word->find(key);
  const toml::node* node = item.find(key);
  if (node == nullptr) return known.fallback.value();
  double value = std::numeric_limits<double>::quiet_NaN();
  if (const auto* real = node->as_floating_point()) value = real->get();
  if (const auto* integer = node->as_integer()) value = static_cast<double>(integer->get());
  const bool is_above = known.excludes_minimum ? value > known.minimum : value >= known.minimum;
  const bool is_below = known.excludes_maximum ? value < known.maximum : value <= known.maximum;
  if (!is_above || !is_below) {
    fail(item,
         *node,
         key,
         fmt::format("has {} {}, expected {}", item.shown(key), found_text(*node), known.range_text()));
  }
  return value;
}

bool Parser::flag(const Item& item, std::string_view key) const {
  const toml::node* node = item.find(key);
  if (node == nullptr) return item.word->find(key)->fallback.value() != 0;
  const auto* value = node->as_boolean();
  if (value == nullptr) {
    fail(item, *node, key, fmt::format("has {} {}, expected true or false", item.shown(key), found_text(*node)));
  }
  return value->get();
}

std::pair<int64_t, int64_t> Parser::read_kernel(const Item& item, std::string_view key) const {
  const toml::node& node = *item.find(key);
  const toml::array* sides = node.as_array();
  const auto side = [&](const toml::node& value) { return whole(item, key, value, kMostSide); };
  if (sides == nullptr) return {side(node), side(node)};
  if (sides->size() != 2) {
    fail(item, node, key, fmt::format("has a kernel of {} numbers, expected a side or [height, width]", sides->size()));
  }
  return {side((*sides)[0]), side((*sides)[1])};
}

Padding Parser::read_padding(const Item& item, const Layer& layer, const Shape& input) const {
  const toml::node* node = item.find("padding");
  if (node == nullptr) return {};
  const LayerKey& known = *item.word->find("padding");
  const bool is_pool = known.type == KeyType::pool_padding;
  if (const auto* number = node->as_integer()) {
    const int64_t least_kernel = std::min(layer.kernel_height, layer.kernel_width);
    // More would add outputs that see no pixel (pool: libtorch's own bound).
    const int64_t most = is_pool ? least_kernel / 2 : least_kernel - 1;
    const int64_t value = number->get();
    if (value < 0 || value > most) {
      fail(item,
           *node,
           "padding",
           fmt::format("has padding {}, expected {} for kernel {}x{}",
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
    fail(item, *node, "padding", fmt::format("has padding {}, expected {}", found_text(*node), known.range_text()));
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
  const toml::node& node = *item.find(key);
  if (!node.is_array() || node.as_array()->empty()) {
    fail(item,
         node,
         key,
         fmt::format("has {} {}, expected {}", item.shown(key), found_text(node), item.word->find(key)->range_text()));
  }
  return *node.as_array();
}

}  // namespace

Graph parse_graph(std::string_view toml_text, const std::string& file) { return Parser(toml_text, file).parse(); }

}  // namespace mien::network
