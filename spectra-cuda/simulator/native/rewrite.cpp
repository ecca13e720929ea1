// CUDA C++, preprocessed, to C++: `__shared__` becomes static or the block's dynamic memory, and each `__global__` function
// gets an entry in the module's table. Everything else that CUDA adds is macros and functions of device.hpp.
#include <algorithm>
#include <cctype>

#include "simulator.hpp"

namespace {

bool is_word(char c) { return std::isalnum((unsigned char)c) || c == '_'; }

// The preprocessed source without CUDA's own keywords, and a table entry for each kernel.
struct Rewriter {
    const std::string& in;
    std::string out, entries, bounds;
    std::size_t at = 0;

    // Copies a string or character literal, a line marker, a word or one other character; returns the word.
    std::string next() {
        if (at == 0 || in[at - 1] == '\n')
            if (in[at] == '#') {
                std::size_t end = std::min(in.find('\n', at), in.size());
                out.append(in, at, end - at);
                at = end;
                return "";
            }
        char c = in[at];
        if (c == '"' || c == '\'') {
            std::size_t end = at + 1;
            while (end < in.size() && in[end] != c) end += in[end] == '\\' ? 2 : 1;
            end = std::min(end + 1, in.size());
            out.append(in, at, end - at);
            at = end;
            return "";
        }
        if (!is_word(c)) {
            out += c;
            at++;
            return std::string(1, c);
        }
        std::size_t begin = at;
        while (at < in.size() && is_word(in[at])) at++;
        out.append(in, begin, at - begin);
        return in.substr(begin, at - begin);
    }

    std::string parenthesised() {  // `(...)`, consumed
        std::size_t open = std::min(in.find('(', at), in.size() - 1), depth = 0, end = open;
        do {
            if (in[end] == '(') depth++;
            if (in[end] == ')') depth--;
            end++;
        } while (depth && end < in.size());
        at = end;
        return end - open < 2 ? "" : in.substr(open + 1, end - open - 2);
    }

    void run() {
        bool external = false;         // this declaration begins with extern "C"
        int depth = 0, c_linkage = 0;  // of braces; inside an extern "C" block since this depth
        while (at < in.size()) {
            std::size_t before = out.size();
            if (in.compare(at, 10, "extern \"C\"") == 0) {
                external = true;
                std::size_t brace = in.find_first_not_of(" \n", at + 10);
                if (brace != std::string::npos && in[brace] == '{' && !c_linkage) c_linkage = depth + 1;
            }
            std::string word = next();
            if (word == "{") depth++;
            if (word == "}" && depth-- == c_linkage) c_linkage = 0;
            if (word == ";" || word == "}") external = false;
            if (word == "__shared__") {
                out.resize(before);
                shared();
            } else if (word == "__launch_bounds__") {
                out.resize(before);
                bounds = parenthesised();
            } else if (word == "__global__") {
                out.resize(before);
                name_kernel(external || c_linkage);
            }
        }
    }

    void name_kernel(bool external) {
        std::string name, word;
        while (at < in.size()) {
            std::size_t before = out.size();
            word = next();
            if (word == "__launch_bounds__") {
                out.resize(before);
                bounds = parenthesised();
            } else if (word == "__attribute__") {
                out += "(" + parenthesised() + ")";
            } else if (word == "(" || word == ";") {
                break;
            } else if (!word.empty() && is_word(word[0])) {
                name = word;
            }
        }
        std::size_t depth = 1;
        while (at < in.size() && depth) {
            word = next();
            depth += word == "(" ? 1 : word == ")" ? -1 : 0;
        }
        std::size_t body = in.find_first_not_of(" \n", at);
        std::string first = bounds.substr(0, bounds.find(','));
        bounds.clear();
        if (!external || body == std::string::npos || in[body] != '{') return;  // mangled name, or a declaration
        entries += "extern \"C\" const SimKernel sim_kernel_" + name + ";\nconst SimKernel sim_kernel_" + name +
                   " = SimCaller<decltype(&" + name + "), &" + name + ">::describe(" + (first.empty() ? "0" : first) + ");\n";
    }

    void shared() {
        std::size_t last = out.find_last_not_of(" \n");
        bool dynamic = last != std::string::npos && last >= 5 && out.compare(last - 5, 6, "extern") == 0;
        if (!dynamic) {
            out += "static __attribute__((section(\"sim_shared\")))";
            return;
        }
        out.resize(last - 5);
        std::string type, name;
        while (at < in.size() && in[at] != '[' && in[at] != ';') {
            if (is_word(in[at])) {
                std::size_t begin = at;
                while (is_word(in[at])) at++;
                std::string word = in.substr(begin, at - begin);
                if (word == "__attribute__" || word == "alignas") {
                    parenthesised();
                } else {
                    type += name + " ";
                    name = word;
                }
            } else {
                at++;
            }
        }
        while (at < in.size() && in[at] != ';') at++;
        out += type + "* " + name + " = (" + type + "*)sim_here.dynamic_shared";
    }
};

}  // namespace

std::string sim::rewrite(const std::string& source) {
    Rewriter rewriter{source, "", "", ""};
    rewriter.run();
    return rewriter.out + "\n" + rewriter.entries;
}
