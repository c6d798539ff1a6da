#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "mien/core/text.h"
#include "mien/network/graph/graph.h"
#include "mien/network/graph/layer_traits.h"

namespace mien::network {
namespace {

enum class Align { left, right };

/// Lines of cells under a heading, columns as wide as their widest cell.
template <size_t Columns>
class TextTable {
 public:
  using Row = std::array<std::string, Columns>;

  TextTable(Row heading, std::array<Align, Columns> aligns) : aligns_(aligns) { add(std::move(heading)); }

  void add(Row row) {
    for (size_t i = 0; i < Columns; ++i) widths_[i] = std::max(widths_[i], row[i].size());
    rows_.push_back(std::move(row));
  }

  size_t width() const {
    size_t sum = 2 * (Columns - 1);
    for (const size_t width : widths_) sum += width;
    return sum;
  }

  std::string text() const { return text_with_rule(fmt::format("{:-<{}}", "", width())); }
  /// For cells that begin with "| ".
  std::string markdown() const { return text_with_rule("|---|---|---|---|"); }

 private:
  std::string text_with_rule(const std::string& rule) const {
    std::string out;
    for (size_t i = 0; i < rows_.size(); ++i) {
      out += line(rows_[i]);
      if (i == 0) out += rule + "\n";
    }
    return out;
  }
  std::string line(const Row& row) const {
    std::string out;
    for (size_t i = 0; i < Columns; ++i) {
      if (i > 0) out += "  ";
      out += aligns_[i] == Align::left ? fmt::format("{:<{}}", row[i], widths_[i])
                                       : fmt::format("{:>{}}", row[i], widths_[i]);
    }
    out.erase(out.find_last_not_of(' ') + 1);
    return out + "\n";
  }

  std::array<Align, Columns> aligns_;
  std::array<size_t, Columns> widths_{};
  std::vector<Row> rows_;
};

std::string names_of(const Graph& graph, const std::vector<int>& nodes) {
  std::vector<std::string> names;
  for (const int node : nodes) names.push_back(graph.layers[static_cast<size_t>(node)].name);
  return join(names, ", ");
}

}  // namespace

std::string summary_table(const Graph& graph) {
  TextTable<5> table({"layer (kind)", "output shape", "parameters", "multiply-adds", "connected to"},
                     {Align::left, Align::right, Align::right, Align::right, Align::left});
  for (const Layer& layer : graph.layers) {
    table.add({fmt::format("{} ({})", layer.name, to_text(layer.kind)),
               layer.output_shape.text(),
               with_commas(layer.trainable_parameters() + layer.buffers()),
               with_commas(layer.multiply_adds()),
               names_of(graph, layer.inputs)});
  }
  std::string out = fmt::format("network: {}\n", graph.name);
  if (!graph.source.empty()) out += fmt::format("source: {}\n", graph.source);
  out += fmt::format("\n{}{:-<{}}\n", table.text(), "", table.width());
  const auto total = [&](std::string_view name, int64_t value) {
    out += fmt::format("{:<24}{:>16}\n", name, with_commas(value));
  };
  total("parameters", graph.total_parameters());
  total("trainable", graph.trainable_parameters());
  total("not trainable", graph.buffers());
  total("multiply-adds", graph.multiply_adds());
  return out;
}

std::string layer_reference() {
  std::string out;
  for (const LayerWord& word : layer_words()) {
    out += fmt::format("### {}\n\n`{}`: {}.\n\n", word.word, word.example, word.meaning);
    TextTable<4> table({"| key", "| what it is", "| values", "| default |"},
                       {Align::left, Align::left, Align::left, Align::left});
    for (const LayerKey& key : word.keys) {
      table.add({fmt::format("| `{}`", key.name),
                 fmt::format("| {}", key.meaning),
                 fmt::format("| {}", key.range_text()),
                 fmt::format("| {} |", key.default_text())});
    }
    out += table.markdown() + "\n";
  }
  out.pop_back();
  return out;
}

}  // namespace mien::network
