import { h } from "../dom.js";
export class CreateView { constructor() { this.element = h("p", {}, "…"); } }
